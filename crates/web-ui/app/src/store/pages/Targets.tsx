// /targets: what is scraped and how it goes.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { v1 } from '../../core/api';
import { flipped } from '../../core/flip';
import { roughDuration } from '../../core/format';
import { seriesText, textFilter, type Labels } from '../../core/labels';
import { useDelayed, useLoad } from '../../core/load';
import { search, setSearch } from '../../core/route';
import { Ago, Badge, Empty, Fold, LabelChips, SearchBox, Shown, Toggles, type Tone } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { RelabelSteps } from './RelabelSteps';

export interface Target {
  discoveredLabels: Labels;
  labels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  globalUrl: string;
  lastError: string;
  lastScrape: string;
  lastScrapeDuration: number;
  health: 'up' | 'down' | 'unknown';
  scrapeInterval: string;
  scrapeTimeout: string;
}

const HEALTH: readonly (readonly [Target['health'], Tone])[] = [
  ['up', 'good'],
  ['down', 'bad'],
  ['unknown', 'plain'],
];

type Item = { kind: 'pool'; name: string; all: Target[]; shown: number } | { kind: 'target'; target: Target };

export function TargetsPage(): JSX.Element {
  const loaded = useLoad(async (signal) => (await v1<{ activeTargets: Target[] }>('targets', { state: 'active' }, { signal })).data.activeTargets, [], 10_000);
  return (
    <>
      <h1>Targets</h1>
      <Shown of={loaded}>{(targets) => <TargetList targets={targets} />}</Shown>
    </>
  );
}

function TargetList({ targets }: { targets: Target[] }): JSX.Element {
  const filter = search.value.get('search') ?? '';
  const only = search.value.get('pool') ?? '';
  const [health, setHealth] = useState<ReadonlySet<Target['health']>>(() => {
    const wanted = (search.value.get('health') ?? '').split(',').filter(Boolean) as Target['health'][];
    return new Set(wanted.length > 0 ? wanted : ['up', 'down', 'unknown']);
  });
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const late = useDelayed(filter, 150);

  const pools = useMemo(() => {
    const byName = new Map<string, Target[]>();
    for (const target of targets) {
      const pool = byName.get(target.scrapePool);
      if (pool) pool.push(target);
      else byName.set(target.scrapePool, [target]);
    }
    return byName;
  }, [targets]);
  const items = useMemo(() => {
    const passes = textFilter(late);
    const out: Item[] = [];
    for (const [name, all] of pools) {
      if (only && name !== only) continue;
      const shown = all.filter((t) => health.has(t.health) && passes(`${t.scrapeUrl} ${t.lastError} ${seriesText(t.labels)} ${name}`, t.labels));
      if (shown.length === 0) continue;
      out.push({ kind: 'pool', name, all, shown: shown.length });
      if (!folded.has(name)) out.push(...shown.map((target) => ({ kind: 'target', target }) as const));
    }
    return out;
  }, [pools, late, only, health, folded]);
  const of = (wanted: Target['health']): number => targets.reduce((n, t) => n + (t.health === wanted ? 1 : 0), 0);

  return (
    <>
      <div class="row bar">
        <SearchBox value={filter} onInput={(text) => setSearch({ search: text })} placeholder={'Filter by endpoint, label (job="node"), error'} label="Filter targets" />
        <select aria-label="Scrape pool" value={only} onChange={(event) => setSearch({ pool: event.currentTarget.value })}>
          <option value="">All {pools.size} pools</option>
          {[...pools.keys()].map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <Toggles
          label="Health"
          chosen={health}
          options={HEALTH.map(([name, tone]) => [name, `${of(name)} ${name}`, tone] as const)}
          onChange={(next) => {
            setHealth(next);
            setSearch({ health: next.size === 3 ? '' : [...next].join(',') });
          }}
        />
        <button type="button" class="button small" onClick={() => setFolded(folded.size > 0 ? new Set() : new Set(pools.keys()))}>
          {folded.size > 0 ? 'Unfold all' : 'Fold all'}
        </button>
      </div>
      {items.length === 0 && <Empty>{targets.length === 0 ? 'Nothing is scraped: the configuration has no targets, or discovery has found none yet.' : 'No target passes the filter.'}</Empty>}
      <VirtualList
        items={items}
        keyOf={(item) => (item.kind === 'pool' ? `pool ${item.name}` : identity(item.target))}
        estimate={44}
        label="Targets"
        render={(item) =>
          item.kind === 'pool' ? (
            <PoolHead item={item} open={!folded.has(item.name)} onToggle={() => setFolded(flipped(folded, item.name))} />
          ) : (
            <TargetRow target={item.target} open={open.has(identity(item.target))} onToggle={() => setOpen(flipped(open, identity(item.target)))} />
          )
        }
      />
    </>
  );
}

const identity = (target: Target): string => `${target.scrapePool} ${target.scrapeUrl} ${seriesText(target.labels)}`;

function PoolHead({ item, open, onToggle }: { item: Extract<Item, { kind: 'pool' }>; open: boolean; onToggle: () => void }): JSX.Element {
  const up = item.all.filter((t) => t.health === 'up').length;
  return (
    <div class="pool">
      <Fold open={open} onToggle={onToggle} head={<h2>{item.name}</h2>}>
        {null}
      </Fold>
      <Badge tone={up === item.all.length ? 'good' : up === 0 ? 'bad' : 'warn'}>
        {up} of {item.all.length} up
      </Badge>
      {item.shown < item.all.length && <span class="quiet">{item.shown} shown</span>}
    </div>
  );
}

function TargetRow({ target, open, onToggle }: { target: Target; open: boolean; onToggle: () => void }): JSX.Element {
  const tone = HEALTH.find(([name]) => name === target.health)?.[1] ?? 'plain';
  return (
    <div class="target" data-health={target.health}>
      <a class="mono pre" href={/^https?:/.test(target.globalUrl) ? target.globalUrl : undefined} target="_blank" rel="noreferrer">
        {target.scrapeUrl}
      </a>
      <span>
        <Badge tone={tone}>{target.health}</Badge>
      </span>
      <span class="wide">
        <LabelChips labels={target.labels} onPick={(name, value) => setSearch({ search: `${name}="${value}"` })} />
      </span>
      <span>
        <Ago at={target.lastScrape} />
        <div class="quiet">{roughDuration(target.lastScrapeDuration)}</div>
      </span>
      <button type="button" class="linkish" aria-expanded={open} onClick={onToggle}>
        {open ? 'Less' : 'More'}
      </button>
      {target.lastError && <div class="note bad pre more">{target.lastError}</div>}
      {open && (
        <div class="more stack">
          <dl class="facts">
            <dt>Interval and timeout</dt>
            <dd>
              {target.scrapeInterval}, {target.scrapeTimeout}
            </dd>
            <dt>As discovered</dt>
            <dd>
              <LabelChips labels={target.discoveredLabels} />
            </dd>
          </dl>
          <RelabelSteps pool={target.scrapePool} labels={target.discoveredLabels} />
        </div>
      )}
    </div>
  );
}
