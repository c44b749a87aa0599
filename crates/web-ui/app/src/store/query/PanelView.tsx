// One panel: expression, what to do with it, and the answer as table, graph or tree.
import type { JSX } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { v1, type Answer } from '../../core/api';
import { count, formatDuration, formatTime, parseDuration, parseTime, roughDuration } from '../../core/format';
import { remember, utc } from '../../core/settings';
import { Choice, download, Empty, ErrorBox, Notes } from '../../parts/bits';
import { Explain } from './Explain';
import { ExprInput } from './ExprInput';
import { Graph, type Exemplar } from './Graph';
import { Heatmap } from './Heatmap';
import { HistoryList } from './HistoryList';
import { csvOf, isSingle, type QueryData } from './result';
import { ResultTable } from './ResultTable';
import { nextRange, stepOf, type Density, type Display, type Panel, type Tab } from './state';

interface Props {
  panel: Panel;
  onChange: (panel: Panel) => void;
  onRemove?: () => void;
}

interface Result {
  tab: 'table' | 'graph';
  answer: Answer<QueryData>;
  exemplars: Exemplar[];
  startMs: number;
  endMs: number;
  stepMs: number;
  tookMs: number;
}

const TABS = [
  ['table', 'Table'],
  ['graph', 'Graph'],
  ['explain', 'Explain'],
] as const;
const DISPLAYS = [
  ['lines', 'Lines'],
  ['stacked', 'Stacked'],
  ['heatmap', 'Heatmap'],
] as const;

export function PanelView({ panel, onChange, onRemove }: Props): JSX.Element {
  // What stands in the editor; it becomes the panel's when it is run.
  const [text, setText] = useState(panel.expr);
  const [given, setGiven] = useState({ text: panel.expr, version: 0 });
  const [run, setRun] = useState(0);
  const [result, setResult] = useState<Result | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [begun, setBegun] = useState<number | null>(null);
  const [showHistory, setShowHistory] = useState(false);
  const running = useRef<AbortController | null>(null);
  const give = (next: string): void => {
    setText(next);
    setGiven((old) => ({ text: next, version: old.version + 1 }));
  };
  useEffect(() => give(panel.expr), [panel.expr]);

  const execute = (): void => {
    setShowHistory(false);
    remember(text);
    if (text !== panel.expr) onChange({ ...panel, expr: text });
    setRun((n) => n + 1);
  };
  const cancel = (): void => {
    running.current?.abort();
    setBegun(null);
  };

  const { expr, tab, rangeMs, endMs, momentMs, exemplars } = panel;
  const stepMs = stepOf(panel);
  useEffect(() => {
    if (!expr.trim() || tab === 'explain') return;
    const controller = new AbortController();
    running.current = controller;
    const started = performance.now();
    setBegun(started);
    query(controller.signal).then(
      (next) => {
        setResult({ ...next, tookMs: performance.now() - started });
        setError(null);
        setBegun(null);
      },
      (failed: Error) => {
        if (controller.signal.aborted) return;
        setResult(null);
        setError(failed);
        setBegun(null);
      },
    );
    return () => controller.abort();

    async function query(signal: AbortSignal): Promise<Omit<Result, 'tookMs'>> {
      if (tab === 'table') {
        const answer = await v1<QueryData>('query', { query: expr, time: momentMs === null ? undefined : momentMs / 1000, stats: 'true' }, { signal, post: true });
        return { tab, answer, exemplars: [], startMs: 0, endMs: 0, stepMs };
      }
      const end = endMs ?? Date.now();
      const start = end - rangeMs;
      const range = { query: expr, start: start / 1000, end: end / 1000 };
      const [answer, found] = await Promise.all([
        v1<QueryData>('query_range', { ...range, step: stepMs / 1000, stats: 'true' }, { signal, post: true }),
        exemplars ? v1<{ seriesLabels: Record<string, string>; exemplars: { labels: Record<string, string>; value: string; timestamp: number }[] }[]>('query_exemplars', range, { signal, post: true }) : null,
      ]);
      const dots = (found?.data ?? []).flatMap((s) => s.exemplars.map((e) => ({ seriesLabels: s.seriesLabels, labels: e.labels, value: Number(e.value), timestamp: e.timestamp })));
      return { tab: 'graph', answer, exemplars: dots, startMs: start, endMs: end, stepMs };
    }
  }, [expr, tab, rangeMs, endMs, momentMs, stepMs, exemplars, run]);

  const format = async (): Promise<void> => {
    try {
      const { data } = await v1<string>('format_query', { query: text }, { post: true });
      give(data);
      setError(null);
    } catch (failed) {
      setError(failed as Error);
    }
  };
  // The graph is made anew when its handlers change, so they keep their identity.
  const current = useRef({ panel, onChange });
  current.current = { panel, onChange };
  const onRange = useCallback((start: number, end: number): void => {
    const { panel: now, onChange: change } = current.current;
    change({ ...now, rangeMs: Math.max(1000, end - start), endMs: end });
  }, []);

  const shown = result && result.tab === tab ? result : null;
  return (
    <section class="panel" aria-label={`Query ${expr || 'without expression'}`}>
      <div class="row" style={{ alignItems: 'flex-start', position: 'relative' }}>
        <ExprInput text={text} given={given} onChange={setText} onRun={execute} />
        {begun === null ? (
          <button type="button" class="button primary" onClick={execute}>
            Execute
          </button>
        ) : (
          <button type="button" class="button danger" onClick={cancel}>
            Cancel
          </button>
        )}
        <button type="button" class="button" onClick={format} title="Write the expression in its usual form">
          Format
        </button>
        <button type="button" class="button" aria-expanded={showHistory} onClick={() => setShowHistory(!showHistory)}>
          History
        </button>
        {onRemove && (
          <button type="button" class="button" aria-label="Remove this panel" title="Remove this panel" onClick={onRemove}>
            ✕
          </button>
        )}
        {showHistory && (
          <HistoryList
            onPick={(picked) => {
              give(picked);
              setShowHistory(false);
            }}
          />
        )}
      </div>
      <div class="row" style={{ margin: '10px 0' }}>
        <Choice<Tab> label="Show as" value={tab} options={TABS} onPick={(next) => onChange({ ...panel, tab: next })} />
        {tab === 'graph' ? <GraphControls panel={panel} onChange={onChange} /> : <Moment panel={panel} onChange={onChange} />}
        <span class="grow" />
        {begun !== null && <Elapsed since={begun} />}
        {begun === null && shown && <Took result={shown} />}
        {shown && (
          <button type="button" class="button small" onClick={() => download('query.csv', 'text/csv', csvOf(shown.answer.data))}>
            CSV
          </button>
        )}
      </div>
      {error && tab !== 'explain' && <ErrorBox error={error} />}
      {shown && <Notes warnings={shown.answer.warnings} infos={shown.answer.infos} />}
      {tab === 'explain' ? (
        expr.trim() ? <Explain expr={expr} momentMs={momentMs} run={run} /> : <Empty>Enter an expression and execute it.</Empty>
      ) : shown ? (
        <Answered result={shown} panel={panel} onRange={onRange} />
      ) : (
        !error && begun === null && <Empty>Enter an expression and execute it.</Empty>
      )}
    </section>
  );
}

function Answered({ result, panel, onRange }: { result: Result; panel: Panel; onRange: (start: number, end: number) => void }): JSX.Element {
  const { data } = result.answer;
  if (result.tab === 'table' || isSingle(data)) return <ResultTable data={data} />;
  if (data.result.length === 0) return <Empty>The query gives no series in this range.</Empty>;
  const common = { result: data.result, startMs: result.startMs, endMs: result.endMs, stepMs: result.stepMs, onRange };
  return panel.display === 'heatmap' ? <Heatmap {...common} /> : <Graph {...common} exemplars={result.exemplars} stacked={panel.display === 'stacked'} />;
}

function Took({ result }: { result: Result }): JSX.Element {
  const { data } = result.answer;
  const samples = data.stats?.samples;
  const series = isSingle(data) ? 1 : data.result.length;
  return (
    <span class="quiet" data-testid="stats" title={samples && `At most ${count(samples.peakSamples)} samples held at once`}>
      {count(series)} series · {roughDuration(result.tookMs / 1000)}
      {samples && ` · ${count(samples.totalQueryableSamples)} samples`}
    </span>
  );
}

function Elapsed({ since }: { since: number }): JSX.Element {
  const [now, setNow] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 100);
    return () => clearInterval(timer);
  }, []);
  return (
    <span role="status">
      <span class="spin" /> {roughDuration(Math.max(0, now - since) / 1000)}
    </span>
  );
}

/** A text field whose value counts when it is left or Enter is pressed, and is set back where it makes no sense. */
function Field({ value, parse, onSet, label, width, placeholder }: { value: string; parse: (text: string) => boolean; onSet: (text: string) => void; label: string; width: string; placeholder?: string }): JSX.Element {
  const [text, setText] = useState(value);
  const [bad, setBad] = useState(false);
  useEffect(() => setText(value), [value]);
  const commit = (): void => {
    if (text === value) return setBad(false);
    const good = parse(text);
    setBad(!good);
    if (good) onSet(text);
  };
  return (
    <input
      class="input"
      style={{ width, ...(bad ? { borderColor: 'var(--bad)' } : {}) }}
      aria-label={label}
      aria-invalid={bad}
      title={label}
      value={text}
      placeholder={placeholder}
      onInput={(event) => setText(event.currentTarget.value)}
      onBlur={commit}
      onKeyDown={(event) => event.key === 'Enter' && commit()}
    />
  );
}

function Moment({ panel, onChange }: { panel: Panel; onChange: (panel: Panel) => void }): JSX.Element {
  return (
    <TimeField
      label="Evaluation time"
      ms={panel.momentMs}
      stepMs={panel.rangeMs / 2}
      onSet={(momentMs) => onChange({ ...panel, momentMs })}
    />
  );
}

function TimeField({ ms, stepMs, onSet, label }: { ms: number | null; stepMs: number; onSet: (ms: number | null) => void; label: string }): JSX.Element {
  return (
    <span class="row" style={{ gap: '3px' }}>
      <button type="button" class="button" aria-label="Earlier" onClick={() => onSet((ms ?? Date.now()) - stepMs)}>
        ‹
      </button>
      <Field
        label={label}
        width="165px"
        placeholder="now"
        value={ms === null ? '' : formatTime(ms, utc.value)}
        parse={(text) => text.trim() === '' || parseTime(text, utc.value) !== null}
        onSet={(text) => onSet(text.trim() === '' ? null : parseTime(text, utc.value))}
      />
      <button type="button" class="button" aria-label="Later" onClick={() => onSet((ms ?? Date.now()) + stepMs)}>
        ›
      </button>
      {ms !== null && (
        <button type="button" class="button" onClick={() => onSet(null)}>
          Now
        </button>
      )}
    </span>
  );
}

function GraphControls({ panel, onChange }: { panel: Panel; onChange: (panel: Panel) => void }): JSX.Element {
  const { rangeMs, resolution } = panel;
  return (
    <>
      <span class="row" style={{ gap: '3px' }}>
        <button type="button" class="button" aria-label="Shorter range" onClick={() => onChange({ ...panel, rangeMs: nextRange(rangeMs, false) })}>
          −
        </button>
        <Field
          label="Range"
          width="76px"
          value={formatDuration(rangeMs)}
          parse={(text) => (parseDuration(text) ?? 0) > 0}
          onSet={(text) => onChange({ ...panel, rangeMs: parseDuration(text)! })}
        />
        <button type="button" class="button" aria-label="Longer range" onClick={() => onChange({ ...panel, rangeMs: nextRange(rangeMs, true) })}>
          +
        </button>
      </span>
      <TimeField label="End time" ms={panel.endMs} stepMs={rangeMs / 2} onSet={(endMs) => onChange({ ...panel, endMs })} />
      <select
        aria-label="Resolution"
        value={resolution.type === 'auto' ? resolution.density : 'custom'}
        onChange={(event) => {
          const value = event.currentTarget.value;
          onChange({ ...panel, resolution: value === 'custom' ? { type: 'custom', stepMs: stepOf(panel) } : { type: 'auto', density: value as Density } });
        }}
      >
        <option value="low">Low resolution</option>
        <option value="medium">Medium resolution</option>
        <option value="high">High resolution</option>
        <option value="custom">Own step</option>
      </select>
      {resolution.type === 'custom' && (
        <Field
          label="Step"
          width="70px"
          value={formatDuration(resolution.stepMs)}
          parse={(text) => (parseDuration(text) ?? 0) > 0}
          onSet={(text) => onChange({ ...panel, resolution: { type: 'custom', stepMs: parseDuration(text)! } })}
        />
      )}
      <Choice<Display> label="Kind of graph" value={panel.display} options={DISPLAYS} onPick={(display) => onChange({ ...panel, display })} />
      <label class="row" style={{ gap: '4px' }}>
        <input type="checkbox" checked={panel.exemplars} onChange={(event) => onChange({ ...panel, exemplars: event.currentTarget.checked })} />
        Exemplars
      </label>
    </>
  );
}
