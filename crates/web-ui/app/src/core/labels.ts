// Label sets as text, and matchers that people type.

export type Labels = Record<string, string>;

const CLASSIC_LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const CLASSIC_METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export function quote(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

export function labelName(name: string): string {
  return CLASSIC_LABEL.test(name) ? name : quote(name);
}

/** A series in PromQL's notation: `up{job="node"}`, or `{"name with spaces", job="node"}`. */
export function seriesText(labels: Labels): string {
  const name = labels.__name__;
  const pairs = Object.entries(labels)
    .filter(([key]) => key !== '__name__')
    .map(([key, value]) => `${labelName(key)}=${quote(value)}`);
  if (name !== undefined && CLASSIC_METRIC.test(name)) {
    return pairs.length > 0 ? `${name}{${pairs.join(', ')}}` : name;
  }
  return `{${[...(name === undefined ? [] : [quote(name)]), ...pairs].join(', ')}}`;
}

export interface Matcher {
  name: string;
  value: string;
  isEqual: boolean;
  isRegex: boolean;
}

const MATCHER = /^\s*(?:"((?:[^"\\]|\\.)*)"|([^\s=!~"{},]+))\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"{},]*))\s*$/;

const unquote = (text: string): string => text.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));

/** `severity="critical"`, `team=~a|b`; `null` where it is none. */
export function parseMatcher(text: string): Matcher | null {
  const match = MATCHER.exec(text);
  if (!match) return null;
  const name = match[1] !== undefined ? unquote(match[1]) : match[2]!;
  const value = match[4] !== undefined ? unquote(match[4]) : (match[5] ?? '');
  const op = match[3]!;
  return { name, value, isEqual: op === '=' || op === '=~', isRegex: op.endsWith('~') };
}

/** A list in braces or without, separated by commas outside quotes. `null` where one part is no matcher. */
export function parseMatchers(text: string): Matcher[] | null {
  const inner = text.trim().replace(/^\{/, '').replace(/\}$/, '');
  const parts = inner.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? [];
  const matchers = parts.filter((part) => part.trim() !== '').map(parseMatcher);
  return matchers.every((m) => m !== null) ? (matchers as Matcher[]) : null;
}

export function matcherText(m: Matcher): string {
  return `${labelName(m.name)}${m.isEqual ? '=' : '!'}${m.isRegex ? '~' : m.isEqual ? '' : '='}${quote(m.value)}`;
}

/** Whether `labels` pass. A missing label is an empty one; patterns are anchored. */
export function matches(m: Matcher, labels: Labels): boolean {
  const value = labels[m.name] ?? '';
  if (!m.isRegex) return (value === m.value) === m.isEqual;
  try {
    return new RegExp(`^(?:${m.value})$`, 's').test(value) === m.isEqual;
  } catch {
    return false;
  }
}

/** A filter over anything with text: every word must occur; `name="value"` words are matchers. */
export function textFilter(query: string): (text: string, labels?: Labels) => boolean {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = words.map((word) => {
    const matcher = /[=~]/.test(word) ? parseMatcher(word) : null;
    return (text: string, labels?: Labels) => text.includes(word) || (matcher !== null && labels !== undefined && matches(matcher, labels));
  });
  return (text, labels) => {
    const lower = text.toLowerCase();
    return tests.every((test) => test(lower, labels));
  };
}
