// The page shown: the last part of the path (scraper-store), or what follows # (alert-router, whose links
// are Alertmanager's).
import { computed, signal } from '@preact/signals';

const location_ = signal(new URL(window.location.href));
const update = (): void => {
  location_.value = new URL(window.location.href);
};
window.addEventListener('popstate', update);
window.addEventListener('hashchange', update);

export const url = computed(() => location_.value);

/** `targets` of `/prefix/targets?x`. */
export const page = computed(() => location_.value.pathname.split('/').pop() ?? '');

/** The query of the path. */
export const search = computed(() => location_.value.searchParams);

/** `['silences', 'new']` and the query of `#/silences/new?filter=…`. */
export const hash = computed(() => {
  const text = location_.value.hash.replace(/^#\/?/, '');
  const [path = '', query = ''] = text.split('?', 2) as [string, string?];
  return { parts: path.split('/').filter(Boolean).map(decodeURIComponent), params: new URLSearchParams(query) };
});

/** Goes to a relative URL (`targets?search=x`, `#/silences`) within the page. */
export function go(target: string, options: { replace?: boolean } = {}): void {
  const next = new URL(target, window.location.href);
  if (next.href === window.location.href) return;
  if (options.replace) window.history.replaceState(null, '', next);
  else window.history.pushState(null, '', next);
  update();
  if (!options.replace) window.scrollTo(0, 0);
}

/** Replaces parameters of the path's query; empty values are left out. */
export function setSearch(values: Record<string, string>): void {
  const next = new URL(window.location.href);
  for (const [key, value] of Object.entries(values)) {
    if (value) next.searchParams.set(key, value);
    else next.searchParams.delete(key);
  }
  go(next.href, { replace: true });
}

/** Lets plain clicks on links within the pages change the page without loading it anew. */
export function followLinks(isOurs: (target: URL) => boolean): void {
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.('a');
    if (!link || link.target || link.hasAttribute('download') || link.origin !== window.location.origin) return;
    const target = new URL(link.href);
    if (!isOurs(target)) return;
    event.preventDefault();
    go(target.href);
  });
}
