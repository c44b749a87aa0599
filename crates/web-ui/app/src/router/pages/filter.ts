// The filter of alerts in the address: Alertmanager's `#/alerts?filter={severity="critical"}&receiver=…`.
import { matcherText, parseMatchers, type Matcher } from '../../core/labels';
import { go, hash } from '../../core/route';

export interface Filter {
  text: string;
  /** `null` where the text is not a list of matchers. */
  matchers: Matcher[] | null;
  receiver: string;
}

export function currentFilter(): Filter {
  const { params } = hash.value;
  const text = (params.get('filter') ?? '').replace(/^\{|\}$/g, '');
  return { text, matchers: parseMatchers(text), receiver: params.get('receiver') ?? '' };
}

export function setFilter(text: string, receiver: string): void {
  const params = new URLSearchParams();
  if (text.trim()) params.set('filter', `{${text}}`);
  if (receiver) params.set('receiver', receiver);
  const query = params.toString();
  go(query ? `#/alerts?${query}` : '#/alerts', { replace: true });
}

/** The filter with one more matcher; the same one is not added twice. */
export function withMatcher(filter: Filter, name: string, value: string): string {
  const added = matcherText({ name, value, isEqual: true, isRegex: false });
  const all = [...(filter.matchers ?? []).map(matcherText)];
  return all.includes(added) ? all.join(', ') : [...all, added].join(', ');
}

export function silenceLink(matchers: readonly Matcher[]): string {
  return `#/silences/new?${new URLSearchParams({ filter: `{${matchers.map(matcherText).join(', ')}}` })}`;
}
