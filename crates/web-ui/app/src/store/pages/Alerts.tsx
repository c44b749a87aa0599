// /alerts: alerting rules by state, with their alerts.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { v1 } from '../../core/api';
import { flipped } from '../../core/flip';
import { roughDuration } from '../../core/format';
import { seriesText, textFilter } from '../../core/labels';
import { useDelayed, useLoad } from '../../core/load';
import { search, setSearch } from '../../core/route';
import { Ago, Badge, Empty, Fold, LabelChips, SearchBox, Shown, Toggles, type Tone } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { queryLink, type Alert, type Group, type Rule } from './groups';

type State = 'firing' | 'pending' | 'inactive';
const STATES: readonly (readonly [State, Tone])[] = [
  ['firing', 'bad'],
  ['pending', 'warn'],
  ['inactive', 'good'],
];

interface Entry {
  key: string;
  rule: Rule;
  group: Group;
  state: State;
}
type Item = { kind: 'rule'; entry: Entry } | { kind: 'alert'; alert: Alert; key: string };

export function AlertsPage(): JSX.Element {
  const loaded = useLoad(async (signal) => (await v1<{ groups: Group[] }>('rules', { type: 'alert' }, { signal })).data.groups, [], 10_000);
  return (
    <>
      <h1>Alerts</h1>
      <Shown of={loaded}>{(groups) => <AlertList groups={groups} />}</Shown>
    </>
  );
}

function AlertList({ groups }: { groups: Group[] }): JSX.Element {
  const filter = search.value.get('search') ?? '';
  const late = useDelayed(filter, 150);
  const [states, setStates] = useState<ReadonlySet<State>>(() => {
    const wanted = (search.value.get('state') ?? '').split(',').filter(Boolean) as State[];
    return new Set<State>(wanted.length > 0 ? wanted : ['firing', 'pending', 'inactive']);
  });
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const entries = useMemo(() => {
    const rank: Record<State, number> = { firing: 0, pending: 1, inactive: 2 };
    const all = groups.flatMap((group) =>
      group.rules.map((rule, i): Entry => ({ key: `${group.file} ${group.name} ${i}`, rule, group, state: rule.state === 'firing' || rule.state === 'pending' ? rule.state : 'inactive' })),
    );
    return all.sort((a, b) => rank[a.state] - rank[b.state]);
  }, [groups]);
  const items = useMemo(() => {
    const passes = textFilter(late);
    const out: Item[] = [];
    for (const entry of entries) {
      if (!states.has(entry.state)) continue;
      const alerts = entry.rule.alerts ?? [];
      const own = passes(`${entry.rule.name} ${entry.group.name} ${entry.group.file} ${entry.rule.query}`, entry.rule.labels);
      const shown = own ? alerts : alerts.filter((alert) => passes(seriesText(alert.labels), alert.labels));
      if (!own && shown.length === 0) continue;
      out.push({ kind: 'rule', entry });
      if (!folded.has(entry.key)) shown.forEach((alert) => out.push({ kind: 'alert', alert, key: `${entry.key} ${seriesText(alert.labels)}` }));
    }
    return out;
  }, [entries, late, states, folded]);
  const of = (state: State): number => entries.reduce((n, e) => n + (e.state === state ? 1 : 0), 0);
  return (
    <>
      <div class="row bar">
        <SearchBox value={filter} onInput={(text) => setSearch({ search: text })} placeholder="Filter by name, group or label" label="Filter alerts" />
        <Toggles
          label="State"
          chosen={states}
          options={STATES.map(([state, tone]) => [state, `${of(state)} ${state}`, tone] as const)}
          onChange={(next) => {
            setStates(next);
            setSearch({ state: next.size === 3 ? '' : [...next].join(',') });
          }}
        />
      </div>
      {items.length === 0 && <Empty>{entries.length === 0 ? 'There are no alerting rules.' : 'No alert passes the filter.'}</Empty>}
      <VirtualList
        items={items}
        keyOf={(item) => (item.kind === 'rule' ? item.entry.key : item.key)}
        estimate={60}
        label="Alerts"
        render={(item) => {
          if (item.kind === 'alert') return <AlertRow alert={item.alert} />;
          const { entry } = item;
          return <RuleHead entry={entry} open={!folded.has(entry.key)} onToggle={() => setFolded(flipped(folded, entry.key))} />;
        }}
      />
    </>
  );
}

function RuleHead({ entry, open, onToggle }: { entry: Entry; open: boolean; onToggle: () => void }): JSX.Element {
  const { rule, group, state } = entry;
  const tone = STATES.find(([name]) => name === state)?.[1] ?? 'plain';
  return (
    <div class="pool" style={{ borderRadius: '8px', marginTop: '6px' }} data-alert={rule.name}>
      <Fold open={open} onToggle={onToggle} head={<h2>{rule.name}</h2>}>
        {null}
      </Fold>
      <Badge tone={tone}>
        {state}
        {(rule.alerts?.length ?? 0) > 0 && ` (${rule.alerts!.length})`}
      </Badge>
      {rule.health === 'err' && <Badge tone="bad">failing</Badge>}
      <span class="quiet pre">
        {group.name} · {group.file}
      </span>
      <a class="expr" style={{ flex: '1 0 100%' }} href={queryLink(rule.query)}>
        {rule.query}
        {rule.duration ? `\nfor ${roughDuration(rule.duration)}` : ''}
      </a>
      {rule.lastError && <div class="note bad pre">{rule.lastError}</div>}
    </div>
  );
}

function AlertRow({ alert }: { alert: Alert }): JSX.Element {
  return (
    <div class="target alert below">
      <span class="stack wide">
        <LabelChips labels={alert.labels} except={['alertname']} onPick={(name, value) => setSearch({ search: `${name}="${value}"` })} />
        {Object.entries(alert.annotations).map(([name, text]) => (
          <div key={name} class="pre">
            <span class="quiet">{name}: </span>
            {text}
          </div>
        ))}
      </span>
      <span>
        <Badge tone={alert.state === 'firing' ? 'bad' : 'warn'}>{alert.state}</Badge>
      </span>
      <span>
        since <Ago at={alert.activeAt} />
      </span>
      <span class="mono pre">{alert.value}</span>
    </div>
  );
}
