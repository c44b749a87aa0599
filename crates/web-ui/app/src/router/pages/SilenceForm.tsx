// #/silences/new and #/silences/ID/edit, with a preview of what would be hit.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { formatDuration, formatTime, parseDuration, parseTime } from '../../core/format';
import { matcherText, parseMatcher, parseMatchers, type Matcher } from '../../core/labels';
import { useDelayed } from '../../core/load';
import { go, hash } from '../../core/route';
import { author, utc } from '../../core/settings';
import { ErrorBox } from '../../parts/bits';
import { api } from '../api';
import { Hits } from './Hits';

const DURATIONS = ['30m', '1h', '2h', '6h', '12h', '1d', '2d', '7d'];

interface Form {
  matchers: Matcher[];
  startMs: number;
  endMs: number;
  createdBy: string;
  comment: string;
}

export function SilenceForm({ id }: { id?: string }): JSX.Element {
  const [form, setForm] = useState<Form | null>(null);
  const [error, setError] = useState<Error | null>(null);
  // An expired silence cannot be changed: the form makes a new one of it.
  const [replaces, setReplaces] = useState<string | undefined>();
  const filter = hash.value.params.get('filter') ?? '';
  const comment = hash.value.params.get('comment') ?? '';

  useEffect(() => {
    const now = Date.now();
    if (id === undefined) {
      setForm({ matchers: parseMatchers(filter) ?? [], startMs: now, endMs: now + 7_200_000, createdBy: author.value, comment });
      return;
    }
    api.silence(id).then((old) => {
      const expired = old.status.state === 'expired';
      const length = Date.parse(old.endsAt) - Date.parse(old.startsAt);
      setReplaces(expired ? undefined : old.id);
      setForm({
        matchers: old.matchers,
        startMs: expired ? now : Date.parse(old.startsAt),
        endMs: expired ? now + length : Date.parse(old.endsAt),
        createdBy: old.createdBy,
        comment: old.comment,
      });
    }, setError);
  }, [id, filter, comment]);

  if (!form) return error ? <ErrorBox error={error} /> : <p class="quiet loading">Loading…</p>;

  const missing = [
    ...(form.matchers.length === 0 ? ['at least one matcher'] : []),
    ...(form.createdBy.trim() === '' ? ['who you are'] : []),
    ...(form.comment.trim() === '' ? ['a comment'] : []),
    ...(form.endMs <= Math.max(form.startMs, Date.now() - 1000) ? ['an end that is after the start, and not over'] : []),
  ];
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    author.value = form.createdBy;
    try {
      const { silenceID } = await api.setSilence({
        id: replaces,
        matchers: form.matchers,
        startsAt: new Date(form.startMs).toISOString(),
        endsAt: new Date(form.endMs).toISOString(),
        createdBy: form.createdBy,
        comment: form.comment,
      });
      go(`#/silences/${silenceID}`);
    } catch (failed) {
      setError(failed as Error);
    }
  };
  return (
    <>
      <h1>{replaces ? 'Edit a silence' : 'New silence'}</h1>
      <form class="form panel" onSubmit={save}>
        <Matchers matchers={form.matchers} onChange={(matchers) => setForm({ ...form, matchers })} />
        <div class="row">
          <MomentInput label="Start" ms={form.startMs} onSet={(startMs) => setForm({ ...form, startMs, endMs: Math.max(form.endMs, startMs + 60_000) })} />
          <MomentInput label="End" ms={form.endMs} onSet={(endMs) => setForm({ ...form, endMs })} />
          <DurationInput ms={form.endMs - form.startMs} onSet={(ms) => setForm({ ...form, endMs: form.startMs + ms })} />
        </div>
        <div class="row" role="group" aria-label="Usual durations">
          {DURATIONS.map((text) => (
            <button key={text} type="button" class="button small" onClick={() => setForm({ ...form, endMs: form.startMs + parseDuration(text)! })}>
              {text}
            </button>
          ))}
        </div>
        <label>
          Your name
          <input class="input" name="createdBy" value={form.createdBy} autocomplete="name" onInput={(event) => setForm({ ...form, createdBy: event.currentTarget.value })} />
        </label>
        <label>
          Comment
          <textarea name="comment" value={form.comment} placeholder="Why, and until what happens" onInput={(event) => setForm({ ...form, comment: event.currentTarget.value })} />
        </label>
        {error && <ErrorBox error={error} />}
        <div class="row">
          <button type="submit" class="button primary" disabled={missing.length > 0}>
            {replaces ? 'Save' : 'Silence'}
          </button>
          <a class="button" href="#/silences">
            Leave
          </a>
          {missing.length > 0 && <span class="quiet">Missing: {missing.join(', ')}</span>}
        </div>
      </form>
      {form.matchers.length > 0 && <Preview matchers={form.matchers} />}
    </>
  );
}

function Preview({ matchers }: { matchers: Matcher[] }): JSX.Element {
  return <Hits matchers={useDelayed(matchers, 300)} />;
}

function Matchers({ matchers, onChange }: { matchers: Matcher[]; onChange: (matchers: Matcher[]) => void }): JSX.Element {
  const [text, setText] = useState('');
  const [bad, setBad] = useState(false);
  const add = (): void => {
    if (text.trim() === '') return;
    const single = parseMatcher(text);
    const added = single ? [single] : parseMatchers(text);
    setBad(!added);
    if (!added) return;
    onChange([...matchers, ...added.filter((m) => !matchers.some((old) => matcherText(old) === matcherText(m)))]);
    setText('');
  };
  return (
    <div class="stack">
      <label for="matcher">Matchers: an alert is silenced when all of them match</label>
      <span class="chips">
        {matchers.map((m) => (
          <button key={matcherText(m)} type="button" class="chip" title="Remove" aria-label={`Remove ${matcherText(m)}`} onClick={() => onChange(matchers.filter((other) => other !== m))}>
            {matcherText(m)} ✕
          </button>
        ))}
      </span>
      <span class="row">
        <input
          id="matcher"
          class="input grow mono"
          value={text}
          aria-invalid={bad}
          placeholder={'alertname="HighCpu", instance=~"web.*"'}
          onInput={(event) => setText(event.currentTarget.value)}
          onBlur={add}
          onKeyDown={(event) => {
            if (event.key === 'Enter') {
              event.preventDefault();
              add();
            }
          }}
        />
        <button type="button" class="button" onClick={add}>
          Add
        </button>
      </span>
      {bad && <div class="note warn">This is no matcher: name="value", with =, !=, =~ or !~.</div>}
    </div>
  );
}

function MomentInput({ label, ms, onSet }: { label: string; ms: number; onSet: (ms: number) => void }): JSX.Element {
  const [text, setText] = useState(formatTime(ms, utc.value));
  const [bad, setBad] = useState(false);
  useEffect(() => {
    setText(formatTime(ms, utc.value));
    setBad(false);
  }, [ms, utc.value]);
  return (
    <label>
      {label}
      <input
        class="input"
        style={{ width: '175px' }}
        value={text}
        aria-invalid={bad}
        onInput={(event) => setText(event.currentTarget.value)}
        onBlur={() => {
          const parsed = parseTime(text, utc.value);
          setBad(parsed === null);
          if (parsed !== null) onSet(parsed);
        }}
      />
    </label>
  );
}

function DurationInput({ ms, onSet }: { ms: number; onSet: (ms: number) => void }): JSX.Element {
  const whole = formatDuration(Math.round(ms / 1000) * 1000);
  const [text, setText] = useState(whole);
  const [bad, setBad] = useState(false);
  useEffect(() => {
    setText(whole);
    setBad(false);
  }, [whole]);
  return (
    <label>
      Duration
      <input
        class="input"
        style={{ width: '110px' }}
        value={text}
        aria-invalid={bad}
        onInput={(event) => setText(event.currentTarget.value)}
        onBlur={() => {
          const parsed = parseDuration(text);
          setBad(!parsed);
          if (parsed) onSet(parsed);
        }}
      />
    </label>
  );
}
