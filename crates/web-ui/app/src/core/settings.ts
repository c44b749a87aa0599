// What a person chose, kept in the browser: theme, time zone, history of queries.
import { effect, signal, type Signal } from '@preact/signals';

function stored<T>(key: string, initial: T, valid: (value: unknown) => boolean): Signal<T> {
  let first = initial;
  try {
    const text = localStorage.getItem(key);
    const value: unknown = text === null ? undefined : JSON.parse(text);
    if (valid(value)) first = value as T;
  } catch {
    // A browser that keeps nothing, or somebody else's text: the default is fine.
  }
  const kept = signal(first);
  effect(() => {
    const text = JSON.stringify(kept.value);
    try {
      localStorage.setItem(key, text);
    } catch {
      // Full or forbidden: the choice lasts as long as the page.
    }
  });
  return kept;
}

export type Theme = 'auto' | 'light' | 'dark';

export const theme = stored<Theme>('firewatch.theme', 'auto', (v) => v === 'auto' || v === 'light' || v === 'dark');
export const utc = stored<boolean>('firewatch.utc', false, (v) => typeof v === 'boolean');
export const history = stored<string[]>(
  'firewatch.history',
  [],
  (v) => Array.isArray(v) && v.every((e) => typeof e === 'string'),
);
/** Name the author of a silence is filled in with. */
export const author = stored<string>('firewatch.author', '', (v) => typeof v === 'string');

const HISTORY_LENGTH = 100;

export function remember(query: string): void {
  const text = query.trim();
  if (text) history.value = [text, ...history.value.filter((old) => old !== text)].slice(0, HISTORY_LENGTH);
}

const system = window.matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', (event) => (systemDark.value = event.matches));

/** Whether the page is dark now. */
export const dark = signal(false);

effect(() => {
  dark.value = theme.value === 'dark' || (theme.value === 'auto' && systemDark.value);
  document.documentElement.dataset.theme = dark.value ? 'dark' : 'light';
});
