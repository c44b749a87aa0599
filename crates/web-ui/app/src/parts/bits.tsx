// Small pieces that many pages use.
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError } from '../core/api';
import { flipped } from '../core/flip';
import { ago, formatTime } from '../core/format';
import { labelName, quote, type Labels } from '../core/labels';
import { useNow, type Loaded } from '../core/load';
import { utc } from '../core/settings';

export type Tone = 'good' | 'bad' | 'warn' | 'plain' | 'accent';

export function Badge({ tone = 'plain', children, title }: { tone?: Tone; children: ComponentChildren; title?: string }): JSX.Element {
  return (
    <span class={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

/** A label set as chips. The text is text whatever it holds. */
export function LabelChips({ labels, except = [], onPick }: { labels: Labels; except?: string[]; onPick?: (name: string, value: string) => void }): JSX.Element {
  const pairs = Object.entries(labels).filter(([name]) => !except.includes(name));
  return (
    <span class="chips">
      {pairs.map(([name, value]) => {
        const text = (
          <>
            <span class="chip-name">{labelName(name)}</span>={quote(value)}
          </>
        );
        return onPick ? (
          <button type="button" key={name} class="chip" title="Filter by this label" onClick={() => onPick(name, value)}>
            {text}
          </button>
        ) : (
          <span key={name} class="chip">
            {text}
          </span>
        );
      })}
    </span>
  );
}

/** A series as PromQL shows it, its name set off. */
export function SeriesName({ labels }: { labels: Labels }): JSX.Element {
  const { __name__: name, ...rest } = labels;
  const pairs = Object.entries(rest);
  return (
    <span class="series">
      <span class="series-name">{name}</span>
      {(pairs.length > 0 || name === undefined) && (
        <>
          {'{'}
          {pairs.map(([key, value], i) => (
            <span key={key}>
              {i > 0 && ', '}
              <span class="series-label">{labelName(key)}</span>={quote(value)}
            </span>
          ))}
          {'}'}
        </>
      )}
    </span>
  );
}

export function ErrorBox({ error, children }: { error: Error; children?: ComponentChildren }): JSX.Element {
  const kind = error instanceof ApiError && error.kind !== 'http' && error.kind !== 'network' ? `${error.kind}: ` : '';
  return (
    <div class="note bad" role="alert">
      <span class="pre">
        {kind}
        {error.message}
      </span>
      {children}
    </div>
  );
}

export function Notes({ warnings, infos }: { warnings: string[]; infos: string[] }): JSX.Element {
  return (
    <>
      {warnings.map((text) => (
        <div key={text} class="note warn pre" role="status">
          {text}
        </div>
      ))}
      {infos.map((text) => (
        <div key={text} class="note info pre" role="status">
          {text}
        </div>
      ))}
    </>
  );
}

/** What a page shows of a request: its error, that it is under way, or its data. */
export function Shown<T>({ of, children }: { of: Loaded<T>; children: (data: T) => ComponentChildren }): JSX.Element {
  return (
    <>
      {of.error && (
        <ErrorBox error={of.error}>
          {of.data !== undefined && <div class="quiet">What is below is what was there before.</div>}
          <button type="button" class="button small" onClick={of.reload}>
            Try again
          </button>
        </ErrorBox>
      )}
      {of.data === undefined ? !of.error && <p class="quiet loading">Loading…</p> : children(of.data)}
    </>
  );
}

/** A moment, as far as it lies back; the date in its tooltip. */
export function Ago({ at }: { at: string | number }): JSX.Element {
  const now = useNow(1000);
  const ms = typeof at === 'number' ? at : Date.parse(at);
  const title = Number.isFinite(ms) && ms > -60_000_000_000_000 ? formatTime(ms, utc.value) : undefined;
  return <time title={title}>{ago(at, now)}</time>;
}

export function Time({ at }: { at: string | number }): JSX.Element {
  const ms = typeof at === 'number' ? at : Date.parse(at);
  return <time title={ago(ms)}>{Number.isFinite(ms) ? formatTime(ms, utc.value) : String(at)}</time>;
}

export function SearchBox({ value, onInput, placeholder, label }: { value: string; onInput: (text: string) => void; placeholder: string; label: string }): JSX.Element {
  return (
    <input
      class="input search"
      type="search"
      value={value}
      placeholder={placeholder}
      aria-label={label}
      onInput={(event) => onInput(event.currentTarget.value)}
      spellcheck={false}
    />
  );
}

/** One of several, as a row of buttons. */
export function Choice<T extends string>({ value, options, onPick, label }: { value: T; options: readonly (readonly [T, string])[]; onPick: (value: T) => void; label: string }): JSX.Element {
  return (
    <span class="choice" role="group" aria-label={label}>
      {options.map(([option, text]) => (
        <button key={option} type="button" aria-pressed={option === value} onClick={() => onPick(option)}>
          {text}
        </button>
      ))}
    </span>
  );
}

/** Several of a few, each with its count. */
export function Toggles<T extends string>({ chosen, options, onChange, label }: { chosen: ReadonlySet<T>; options: readonly (readonly [T, string, Tone])[]; onChange: (chosen: Set<T>) => void; label: string }): JSX.Element {
  return (
    <span class="toggles" role="group" aria-label={label}>
      {options.map(([option, text, tone]) => (
        <button
          key={option}
          type="button"
          class={`toggle ${tone}`}
          aria-pressed={chosen.has(option)}
          onClick={() => onChange(flipped(chosen, option))}
        >
          {text}
        </button>
      ))}
    </span>
  );
}

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }): JSX.Element {
  const [done, setDone] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without a secure origin there is no clipboard API.
      const area = document.createElement('textarea');
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" class="button small" onClick={copy}>
      {done ? 'Copied' : label}
    </button>
  );
}

export function Empty({ children }: { children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>;
}

/** A disclosure whose head is a button; its body is made when it is first opened. */
export function Fold({ open, onToggle, head, children, class: className = '' }: { open: boolean; onToggle: () => void; head: ComponentChildren; children: ComponentChildren; class?: string }): JSX.Element {
  return (
    <div class={`fold ${className}`}>
      <button type="button" class="fold-head" aria-expanded={open} onClick={onToggle}>
        <span class="fold-mark" aria-hidden="true" />
        {head}
      </button>
      {open && children !== null && <div class="fold-body">{children}</div>}
    </div>
  );
}

/** Saves text as a file. */
export function download(name: string, type: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
