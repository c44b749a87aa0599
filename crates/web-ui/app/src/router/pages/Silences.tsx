// #/silences: all silences by state.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { count } from '../../core/format';
import { matcherText, textFilter } from '../../core/labels';
import { useLoad } from '../../core/load';
import { Ago, Badge, Empty, ErrorBox, SearchBox, Shown, Toggles, type Tone } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { api, type Silence } from '../api';

type State = Silence['status']['state'];
const STATES: readonly (readonly [State, Tone])[] = [
  ['active', 'accent'],
  ['pending', 'warn'],
  ['expired', 'plain'],
];

export function SilencesPage(): JSX.Element {
  const loaded = useLoad((signal) => api.silences(signal), [], 15_000);
  return (
    <>
      <div class="row bar">
        <h1 class="grow" style={{ margin: 0 }}>
          Silences
        </h1>
        <a class="button primary" href="#/silences/new">
          New silence
        </a>
      </div>
      <Shown of={loaded}>{(silences) => <List silences={silences} onChange={loaded.reload} />}</Shown>
    </>
  );
}

function List({ silences, onChange }: { silences: Silence[]; onChange: () => void }): JSX.Element {
  const [filter, setFilter] = useState('');
  const [states, setStates] = useState<ReadonlySet<State>>(new Set<State>(['active', 'pending']));
  const shown = useMemo(() => {
    const passes = textFilter(filter);
    return silences.filter((s) => states.has(s.status.state) && passes(`${s.matchers.map(matcherText).join(' ')} ${s.comment} ${s.createdBy} ${s.id}`));
  }, [silences, filter, states]);
  const of = (state: State): number => silences.filter((s) => s.status.state === state).length;
  return (
    <>
      <div class="row bar">
        <SearchBox value={filter} onInput={setFilter} placeholder="Filter by matcher, comment, author" label="Filter silences" />
        <Toggles label="State" chosen={states} options={STATES.map(([state, tone]) => [state, `${count(of(state))} ${state}`, tone] as const)} onChange={setStates} />
      </div>
      {shown.length === 0 && <Empty>No silences{silences.length > 0 ? ' in these states' : ''}.</Empty>}
      <VirtualList items={shown} keyOf={(s) => s.id} estimate={96} label="Silences" render={(silence) => <SilenceCard silence={silence} onChange={onChange} />} />
    </>
  );
}

export function SilenceCard({ silence, onChange }: { silence: Silence; onChange: () => void }): JSX.Element {
  const [error, setError] = useState<Error | null>(null);
  const [asked, setAsked] = useState(false);
  const { state } = silence.status;
  const expire = async (): Promise<void> => {
    try {
      await api.expireSilence(silence.id);
      setError(null);
      onChange();
    } catch (failed) {
      setError(failed as Error);
    }
    setAsked(false);
  };
  return (
    <div class="panel" style={{ marginBottom: '8px' }} data-silence={silence.id}>
      <div class="row">
        <Badge tone={STATES.find(([name]) => name === state)?.[1]}>{state}</Badge>
        <span class="chips">
          {silence.matchers.map((m) => (
            <span key={matcherText(m)} class="chip">
              {matcherText(m)}
            </span>
          ))}
        </span>
        <span class="grow" />
        <a class="button small" href={`#/silences/${silence.id}`}>
          View
        </a>
        <a class="button small" href={`#/silences/${silence.id}/edit`}>
          {state === 'expired' ? 'Silence again' : 'Edit'}
        </a>
        {state !== 'expired' &&
          (asked ? (
            <button type="button" class="button small danger" onClick={expire}>
              Really expire it
            </button>
          ) : (
            <button type="button" class="button small" onClick={() => setAsked(true)}>
              Expire
            </button>
          ))}
      </div>
      <div class="pre">{silence.comment}</div>
      <div class="quiet">
        by {silence.createdBy} ·{' '}
        {state === 'pending' ? (
          <>
            starts <Ago at={silence.startsAt} />
          </>
        ) : (
          <>
            {state === 'active' ? 'ends' : 'ended'} <Ago at={silence.endsAt} />
          </>
        )}
      </div>
      {error && <ErrorBox error={error} />}
    </div>
  );
}
