// The frame of all pages: name, navigation, theme, time zone.
import { useComputed, useSignal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { url } from '../core/route';
import { theme, utc, type Theme } from '../core/settings';

export interface NavItem {
  href: string;
  text: string;
  current: boolean;
}

const THEMES: Record<Theme, [Theme, string]> = { auto: ['light', '◐'], light: ['dark', '☀'], dark: ['auto', '☾'] };

export function Layout({ title, home, nav, banner, children }: { title: string; home: string; nav: NavItem[]; banner?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  const open = useSignal(false);
  const address = useComputed(() => url.value.pathname + url.value.hash);
  useEffect(() => {
    open.value = false;
  }, [address.value]);
  const [nextTheme, mark] = THEMES[theme.value];
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={home}>
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <path fill="currentColor" d="M10 30 13 12h6l3 18h-3l-.7-5h-4.600L13 30zM9 5h14v6H9z" />
            <path fill="currentColor" d="m7 5 9-4 9 4z" />
            <path class="brand-light" d="M12 6.500h8v3h-8z" />
          </svg>
          {title}
        </a>
        <button type="button" class="menu" aria-expanded={open.value} aria-controls="nav" aria-label="Menu" onClick={() => (open.value = !open.value)}>
          ☰
        </button>
        <nav id="nav" class={open.value ? 'open' : ''} aria-label="Pages">
          {nav.map((item) => (
            <a key={item.href} href={item.href} aria-current={item.current ? 'page' : undefined}>
              {item.text}
            </a>
          ))}
        </nav>
        <span class="top-tools">
          <button type="button" class="tool" title="Time zone of all times" onClick={() => (utc.value = !utc.value)}>
            {utc.value ? 'UTC' : 'Local'}
          </button>
          <button type="button" class="tool" aria-label={`Theme: ${theme.value}; change to ${nextTheme}`} title={`Theme: ${theme.value}`} onClick={() => (theme.value = nextTheme)}>
            {mark}
          </button>
        </span>
      </header>
      {banner}
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}
