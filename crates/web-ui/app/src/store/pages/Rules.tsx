// /rules: groups and their rules, with state, value and errors.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { v1 } from '../../core/api';
import { flipped } from '../../core/flip';
import { roughDuration } from '../../core/format';
import { textFilter } from '../../core/labels';
import { useDelayed, useLoad, useNow } from '../../core/load';
import { search, setSearch } from '../../core/route';
import { Ago, Badge, Empty, Fold, LabelChips, SearchBox, Shown, Toggles, type Tone } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { queryLink, type Group, type Rule } from './groups';

const HEALTH: readonly (readonly [Rule['health'], string, Tone])[] = [
  ['ok', 'ok', 'good'],
  ['err', 'failing', 'bad'],
  ['unknown', 'not run yet', 'plain'],
];

type Item = { kind: 'group'; group: Group; shown: number } | { kind: 'rule'; rule: Rule; key: string };

export function RulesPage(): JSX.Element {
  const loaded = useLoad(async (signal) => (await v1<{ groups: Group[] }>('rules', {}, { signal })).data.groups, [], 10_000);
  return (
    <>
      <h1>Rules</h1>
      <Shown of={loaded}>{(groups) => <Groups groups={groups} />}</Shown>
    </>
  );
}

function Groups({ groups }: { groups: Group[] }): JSX.Element {
  const filter = search.value.get('search') ?? '';
  const late = useDelayed(filter, 150);
  const [health, setHealth] = useState<ReadonlySet<Rule['health']>>(new Set<Rule['health']>(['ok', 'err', 'unknown']));
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const items = useMemo(() => {
    const passes = textFilter(late);
    const out: Item[] = [];
    for (const group of groups) {
      const id = `${group.file} ${group.name}`;
      const rules = group.rules.filter((r) => health.has(r.health) && passes(`${r.name} ${r.query} ${group.name} ${group.file} ${r.lastError ?? ''}`, r.labels));
      if (rules.length === 0) continue;
      out.push({ kind: 'group', group, shown: rules.length });
      if (!folded.has(id)) rules.forEach((rule, i) => out.push({ kind: 'rule', rule, key: `${id} ${i} ${rule.name}` }));
    }
    return out;
  }, [groups, late, health, folded]);
  const of = (wanted: Rule['health']): number => groups.reduce((n, g) => n + g.rules.filter((r) => r.health === wanted).length, 0);
  return (
    <>
      <div class="row bar">
        <SearchBox value={filter} onInput={(text) => setSearch({ search: text })} placeholder="Filter by name, expression, group, file" label="Filter rules" />
        <Toggles label="Health" chosen={health} options={HEALTH.map(([name, text, tone]) => [name, `${of(name)} ${text}`, tone] as const)} onChange={setHealth} />
      </div>
      {items.length === 0 && <Empty>{groups.length === 0 ? 'There are no rules: rule-evaluator has no rule files, or is not connected (--rule-evaluator.grpc-address).' : 'No rule passes the filter.'}</Empty>}
      <VirtualList
        items={items}
        keyOf={(item) => (item.kind === 'group' ? `group ${item.group.file} ${item.group.name}` : item.key)}
        estimate={96}
        label="Rules"
        render={(item) => {
          if (item.kind === 'rule') return <RuleRow rule={item.rule} />;
          const id = `${item.group.file} ${item.group.name}`;
          return <GroupHead group={item.group} shown={item.shown} open={!folded.has(id)} onToggle={() => setFolded(flipped(folded, id))} />;
        }}
      />
    </>
  );
}

function GroupHead({ group, shown, open, onToggle }: { group: Group; shown: number; open: boolean; onToggle: () => void }): JSX.Element {
  const now = useNow(1000);
  const last = Date.parse(group.lastEvaluation);
  const next = last + group.interval * 1000;
  const late = group.evaluationTime > group.interval;
  return (
    <div class="pool">
      <Fold open={open} onToggle={onToggle} head={<h2>{group.name}</h2>}>
        {null}
      </Fold>
      <span class="quiet pre">{group.file}</span>
      <span class="grow" />
      <span class="quiet">
        {shown} of {group.rules.length} rules · every {roughDuration(group.interval)} · ran <Ago at={group.lastEvaluation} />
        {last > 0 && next > now && `, again in ${roughDuration(Math.ceil((next - now) / 1000))}`}
      </span>
      <Badge tone={late ? 'bad' : 'plain'} title="How long the last evaluation took">
        {roughDuration(group.evaluationTime)}
      </Badge>
    </div>
  );
}

const STATE: Record<string, Tone> = { firing: 'bad', pending: 'warn', inactive: 'good' };

function RuleRow({ rule }: { rule: Rule }): JSX.Element {
  return (
    <div class="target" style={{ display: 'block' }} data-rule={rule.name}>
      <div class="stack">
        <div class="row">
          <strong class="pre">{rule.name}</strong>
          <Badge>{rule.type}</Badge>
          {rule.state && <Badge tone={STATE[rule.state] ?? 'plain'}>{rule.state === 'inactive' ? 'inactive' : `${rule.state} (${rule.alerts?.length ?? 0})`}</Badge>}
          {rule.health !== 'ok' && <Badge tone={rule.health === 'err' ? 'bad' : 'plain'}>{rule.health === 'err' ? 'failing' : 'not run yet'}</Badge>}
          <span class="grow" />
          <span class="quiet">
            <Ago at={rule.lastEvaluation} /> · {roughDuration(rule.evaluationTime)}
          </span>
        </div>
        <a class="expr" href={queryLink(rule.query)}>
          {rule.query}
        </a>
        {(rule.duration || rule.keepFiringFor) ? (
          <div class="quiet">
            {rule.duration ? `for ${roughDuration(rule.duration)} ` : ''}
            {rule.keepFiringFor ? `keeps firing for ${roughDuration(rule.keepFiringFor)}` : ''}
          </div>
        ) : null}
        {rule.labels && Object.keys(rule.labels).length > 0 && <LabelChips labels={rule.labels} />}
        {rule.annotations &&
          Object.entries(rule.annotations).map(([name, text]) => (
            <div key={name} class="pre">
              <span class="quiet">{name}: </span>
              {text}
            </div>
          ))}
        {rule.lastError && <div class="note bad pre">{rule.lastError}</div>}
      </div>
    </div>
  );
}
