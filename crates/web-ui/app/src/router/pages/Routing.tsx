// #/routing: the tree of routes, and where an alert would go.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { count, roughDuration } from '../../core/format';
import { matcherText, parseMatchers, type Labels } from '../../core/labels';
import { useLoad } from '../../core/load';
import { Badge, ErrorBox, LabelChips, Shown } from '../../parts/bits';
import { api, type Route, type Taken } from '../api';

export function RoutingPage(): JSX.Element {
  const loaded = useLoad((signal) => api.routes(signal), [], 30_000);
  const [taken, setTaken] = useState<Taken[]>([]);
  return (
    <>
      <h1>Routing</h1>
      <Question onAnswer={setTaken} />
      <Shown of={loaded}>{(routes) => <Branch routes={routes} index={0} hits={new Set(taken.map((t) => t.route))} />}</Shown>
    </>
  );
}

/** Where an alert with these labels would go. */
function Question({ onAnswer }: { onAnswer: (taken: Taken[]) => void }): JSX.Element {
  const [text, setText] = useState('');
  const [answer, setAnswer] = useState<Taken[] | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const ask = async (event: Event): Promise<void> => {
    event.preventDefault();
    const matchers = parseMatchers(text);
    try {
      const wrong = matchers?.find((m) => !m.isEqual || m.isRegex);
      if (!matchers) throw new Error('These are no labels: name="value", separated by commas.');
      if (wrong) throw new Error(`An alert has values, not patterns: ${matcherText(wrong)}`);
      const labels: Labels = Object.fromEntries(matchers.map((m) => [m.name, m.value]));
      const taken = await api.matchRoutes(labels);
      setAnswer(taken);
      onAnswer(taken);
      setError(null);
    } catch (failed) {
      setError(failed as Error);
      setAnswer(null);
      onAnswer([]);
    }
  };
  return (
    <form class="panel" onSubmit={ask}>
      <div class="row">
        <label for="question">Where would this alert go?</label>
        <input id="question" class="input grow mono" value={text} placeholder={'alertname="HighCpu", severity="critical"'} onInput={(event) => setText(event.currentTarget.value)} />
        <button type="submit" class="button primary">
          Ask
        </button>
      </div>
      {error && <ErrorBox error={error} />}
      {answer && (
        <div class="stack" role="status" style={{ marginTop: '8px' }}>
          {answer.map((t, i) => (
            <div key={i} class="row">
              to <strong>{t.receiver}</strong>
              {Object.keys(t.groupLabels).length > 0 ? (
                <>
                  in the group <LabelChips labels={t.groupLabels} />
                </>
              ) : (
                <span class="quiet">in one group with all others there</span>
              )}
            </div>
          ))}
        </div>
      )}
    </form>
  );
}

function Branch({ routes, index, hits }: { routes: Route[]; index: number; hits: ReadonlySet<number> }): JSX.Element | null {
  const route = routes[index];
  if (!route) return null;
  return (
    <div class={`route ${hits.has(index) ? 'hit' : ''}`} data-route={index}>
      <div class="route-head">
        {index === 0 ? <span class="quiet">everything</span> : route.matchers.length === 0 ? <span class="quiet">any alert</span> : null}
        <span class="chips">
          {route.matchers.map((matcher) => (
            <span key={matcher} class="chip">
              {matcher}
            </span>
          ))}
        </span>
        → <strong>{route.receiver}</strong>
        {route.continue && <Badge tone="accent">goes on</Badge>}
        {route.groups > 0 && <Badge tone="warn">{count(route.groups)} group{route.groups === 1 ? '' : 's'}</Badge>}
        {route.muteTimeIntervals.length > 0 && <Badge>muted in {route.muteTimeIntervals.join(', ')}</Badge>}
        {route.activeTimeIntervals.length > 0 && <Badge>only in {route.activeTimeIntervals.join(', ')}</Badge>}
        <span class="quiet">
          {route.groupByAll ? 'each alert for itself' : route.groupBy.length > 0 ? `grouped by ${route.groupBy.join(', ')}` : 'one group'} · waits {roughDuration(route.groupWait)}, again every {roughDuration(route.groupInterval)},
          repeats after {roughDuration(route.repeatInterval)}
        </span>
      </div>
      {route.children.map((child) => (
        <Branch key={child} routes={routes} index={child} hits={hits} />
      ))}
    </div>
  );
}
