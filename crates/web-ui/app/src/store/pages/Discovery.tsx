// /service-discovery: what discovery found, and what relabeling made of it or dropped.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { v1 } from '../../core/api';
import { count } from '../../core/format';
import { seriesText, textFilter, type Labels } from '../../core/labels';
import { useDelayed, useLoad } from '../../core/load';
import { search, setSearch } from '../../core/route';
import { Badge, Empty, LabelChips, SearchBox, Shown, Toggles } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { RelabelSteps } from './RelabelSteps';
import type { Target } from './Targets';

interface Found {
  activeTargets: Target[];
  droppedTargets: { discoveredLabels: Labels; scrapePool: string }[] | null;
  droppedTargetCounts: Record<string, number> | null;
}

interface Entry {
  key: string;
  pool: string;
  discovered: Labels;
  /** Absent where it was dropped. */
  labels?: Labels;
}

type Kind = 'kept' | 'dropped';

/** A mechanism that cannot look at the moment; what it found last still holds. */
interface Problem {
  scrapePool: string;
  mechanism: string;
  config: string;
  error: string;
}

export function DiscoveryPage(): JSX.Element {
  const loaded = useLoad(async (signal) => (await v1<Found>('targets', { state: 'any' }, { signal })).data, [], 30_000);
  const problems = useLoad(async (signal) => (await v1<{ problems: Problem[] }>('firewatch/discovery', {}, { signal })).data.problems, [], 30_000);
  return (
    <>
      <h1>Service discovery</h1>
      {problems.data?.map((problem) => (
        <div class="note bad" key={`${problem.scrapePool} ${problem.mechanism} ${problem.config}`}>
          <strong>{problem.scrapePool}</strong>: {problem.mechanism} {problem.config} cannot be refreshed, the last targets stay: {problem.error}
        </div>
      ))}
      <Shown of={loaded}>{(found) => <Entries found={found} />}</Shown>
    </>
  );
}

function Entries({ found }: { found: Found }): JSX.Element {
  const filter = search.value.get('search') ?? '';
  const only = search.value.get('pool') ?? '';
  const late = useDelayed(filter, 150);
  const [kinds, setKinds] = useState<ReadonlySet<Kind>>(new Set<Kind>(['kept', 'dropped']));
  const [open, setOpen] = useState('');
  const dropped = found.droppedTargets ?? [];
  const entries = useMemo<Entry[]>(
    () => [
      ...found.activeTargets.map((t, i) => ({ key: `kept ${i}`, pool: t.scrapePool, discovered: t.discoveredLabels, labels: t.labels })),
      ...dropped.map((t, i) => ({ key: `dropped ${i}`, pool: t.scrapePool, discovered: t.discoveredLabels })),
    ],
    [found],
  );
  const pools = useMemo(() => [...new Set([...entries.map((e) => e.pool), ...Object.keys(found.droppedTargetCounts ?? {})])].sort(), [entries]);
  const shown = useMemo(() => {
    const passes = textFilter(late);
    return entries.filter(
      (e) => (!only || e.pool === only) && kinds.has(e.labels ? 'kept' : 'dropped') && passes(`${e.pool} ${seriesText(e.discovered)} ${e.labels ? seriesText(e.labels) : ''}`, e.labels ?? e.discovered),
    );
  }, [entries, late, only, kinds]);
  const droppedCount = Object.values(found.droppedTargetCounts ?? {}).reduce((sum, n) => sum + n, 0);
  return (
    <>
      <div class="row bar">
        <SearchBox value={filter} onInput={(text) => setSearch({ search: text })} placeholder="Filter by label or value" label="Filter discovered targets" />
        <select aria-label="Scrape pool" value={only} onChange={(event) => setSearch({ pool: event.currentTarget.value })}>
          <option value="">All {pools.length} pools</option>
          {pools.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <Toggles
          label="Kind"
          chosen={kinds}
          options={[
            ['kept', `${count(found.activeTargets.length)} kept`, 'good'],
            ['dropped', `${count(droppedCount)} dropped`, 'warn'],
          ]}
          onChange={setKinds}
        />
      </div>
      {droppedCount > dropped.length && (
        <div class="note info">
          {count(droppedCount - dropped.length)} more were dropped; only {count(dropped.length)} are kept for this page (keep_dropped_targets).
        </div>
      )}
      {shown.length === 0 && <Empty>Nothing found.</Empty>}
      <VirtualList
        items={shown}
        keyOf={(entry) => entry.key}
        estimate={90}
        label="Discovered targets"
        render={(entry) => (
          <div class="panel" style={{ marginBottom: '8px' }}>
            <div class="row">
              <strong>{entry.pool}</strong>
              {entry.labels ? <Badge tone="good">kept</Badge> : <Badge tone="warn">dropped</Badge>}
              <span class="grow" />
              <button type="button" class="linkish" aria-expanded={open === entry.key} onClick={() => setOpen(open === entry.key ? '' : entry.key)}>
                Relabeling step by step
              </button>
            </div>
            <dl class="facts">
              <dt>Discovered</dt>
              <dd>
                <LabelChips labels={entry.discovered} />
              </dd>
              {entry.labels && (
                <>
                  <dt>Target</dt>
                  <dd>
                    <LabelChips labels={entry.labels} />
                  </dd>
                </>
              )}
            </dl>
            {open === entry.key && <RelabelSteps pool={entry.pool} labels={entry.discovered} />}
          </div>
        )}
      />
    </>
  );
}
