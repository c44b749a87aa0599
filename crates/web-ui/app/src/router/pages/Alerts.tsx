// #/alerts: alerts as they are sent, in their groups.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { flipped } from '../../core/flip';
import { ago, count } from '../../core/format';
import { matcherText, seriesText, type Labels } from '../../core/labels';
import { useDelayed, useLoad, useNow } from '../../core/load';
import { Ago, Badge, Empty, Fold, LabelChips, SearchBox, Shown, Toggles } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { api, type Alert, type AlertGroup, type GroupTimer } from '../api';
import { currentFilter, setFilter, silenceLink, withMatcher, type Filter } from './filter';

type Kind = 'active' | 'silenced' | 'inhibited' | 'muted';
const KINDS: readonly (readonly [Kind, string, 'bad' | 'plain'])[] = [
  ['active', 'active', 'bad'],
  ['silenced', 'silenced', 'plain'],
  ['inhibited', 'inhibited', 'plain'],
  ['muted', 'muted', 'plain'],
];

function kindOf(alert: Alert): Kind {
  if (alert.status.silencedBy.length > 0) return 'silenced';
  if (alert.status.inhibitedBy.length > 0) return 'inhibited';
  return alert.status.mutedBy.length > 0 ? 'muted' : 'active';
}

interface Data {
  groups: AlertGroup[];
  timers: Map<string, GroupTimer>;
  receivers: string[];
}

const groupKey = (receiver: string, labels: Labels): string => `${receiver} ${seriesText(labels)}`;

export function AlertsPage(): JSX.Element {
  const filter = currentFilter();
  const [text, setText] = useState(filter.text);
  const wanted = useDelayed(filter.text, 250);
  const query = (currentFilter().matchers ?? []).map(matcherText);
  const loaded = useLoad<Data>(
    async (signal) => {
      const pattern = filter.receiver.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      const [groups, timers, receivers] = await Promise.all([api.groups({ filter: query, receiver: pattern || undefined }, signal), api.timers(signal), api.receivers(signal)]);
      return { groups, timers: new Map(timers.map((t) => [groupKey(t.receiver, t.labels), t])), receivers: receivers.map((r) => r.name) };
    },
    [wanted, filter.receiver],
    15_000,
  );
  const change = (next: string): void => {
    setText(next);
    setFilter(next, filter.receiver);
  };
  return (
    <>
      <h1>Alerts</h1>
      <div class="row bar">
        <SearchBox value={text} onInput={change} placeholder={'Matchers: severity="critical", team=~"a|b"'} label="Filter by matchers" />
        <select aria-label="Receiver" value={filter.receiver} onChange={(event) => setFilter(filter.text, event.currentTarget.value)}>
          <option value="">All receivers</option>
          {(loaded.data?.receivers ?? []).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        {filter.matchers && filter.matchers.length > 0 && (
          <a class="button" href={silenceLink(filter.matchers)}>
            Silence these
          </a>
        )}
      </div>
      {filter.matchers === null && <div class="note warn">This is not a list of matchers: name="value", separated by commas.</div>}
      <Shown of={loaded}>
        {(data) => (
          <Groups
            data={data}
            filter={filter}
            onFilter={(next) => {
              setText(next);
              setFilter(next, filter.receiver);
            }}
          />
        )}
      </Shown>
    </>
  );
}

type Item = { kind: 'group'; group: AlertGroup; key: string; shown: number } | { kind: 'alert'; alert: Alert; key: string };

function Groups({ data, filter, onFilter }: { data: Data; filter: Filter; onFilter: (text: string) => void }): JSX.Element {
  const [kinds, setKinds] = useState<ReadonlySet<Kind>>(new Set<Kind>(['active', 'silenced', 'inhibited', 'muted']));
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [open, setOpen] = useState('');
  const byFingerprint = useMemo(() => new Map(data.groups.flatMap((g) => g.alerts.map((a) => [a.fingerprint, a] as const))), [data]);
  const counts = useMemo(() => {
    const found: Record<Kind, number> = { active: 0, silenced: 0, inhibited: 0, muted: 0 };
    for (const alert of byFingerprint.values()) found[kindOf(alert)] += 1;
    return found;
  }, [byFingerprint]);
  const items = useMemo(() => {
    const out: Item[] = [];
    for (const group of data.groups) {
      const key = groupKey(group.receiver.name, group.labels);
      const shown = group.alerts.filter((alert) => kinds.has(kindOf(alert)));
      if (shown.length === 0) continue;
      out.push({ kind: 'group', group, key, shown: shown.length });
      if (!folded.has(key)) out.push(...shown.map((alert) => ({ kind: 'alert', alert, key: `${key} ${alert.fingerprint}` }) as const));
    }
    return out;
  }, [data, kinds, folded]);
  return (
    <>
      <div class="row bar">
        <Toggles label="State" chosen={kinds} options={KINDS.map(([kind, text, tone]) => [kind, `${count(counts[kind])} ${text}`, tone] as const)} onChange={setKinds} />
        <span class="quiet">
          {count(byFingerprint.size)} alerts in {count(data.groups.length)} groups
        </span>
        <span class="grow" />
        <button type="button" class="button small" onClick={() => setFolded(folded.size > 0 ? new Set() : new Set(data.groups.map((g) => groupKey(g.receiver.name, g.labels))))}>
          {folded.size > 0 ? 'Unfold all' : 'Fold all'}
        </button>
      </div>
      {items.length === 0 && <Empty>{data.groups.length === 0 ? 'No alerts.' : 'No alert in these states.'}</Empty>}
      <VirtualList
        items={items}
        keyOf={(item) => `${item.kind} ${item.key}`}
        estimate={70}
        label="Alert groups"
        render={(item) =>
          item.kind === 'group' ? (
            <GroupHead group={item.group} shown={item.shown} timer={data.timers.get(item.key)} open={!folded.has(item.key)} onToggle={() => setFolded(flipped(folded, item.key))} onPick={(name, value) => onFilter(withMatcher(filter, name, value))} />
          ) : (
            <AlertRow alert={item.alert} all={byFingerprint} open={open === item.key} onToggle={() => setOpen(open === item.key ? '' : item.key)} onPick={(name, value) => onFilter(withMatcher(filter, name, value))} />
          )
        }
      />
    </>
  );
}

interface Pick {
  onPick: (name: string, value: string) => void;
}

function GroupHead({ group, shown, timer, open, onToggle, onPick }: { group: AlertGroup; shown: number; timer: GroupTimer | undefined; open: boolean; onToggle: () => void } & Pick): JSX.Element {
  const now = useNow(1000);
  const active = group.alerts.filter((alert) => kindOf(alert) === 'active').length;
  const next = timer && Date.parse(timer.nextFlush);
  return (
    <div class="pool">
      <Fold open={open} onToggle={onToggle} head={<h2>{Object.keys(group.labels).length === 0 ? 'Not grouped' : (group.labels.alertname ?? 'Group')}</h2>}>
        {null}
      </Fold>
      <LabelChips labels={group.labels} except={['alertname']} onPick={onPick} />
      <Badge tone={active > 0 ? 'bad' : 'plain'}>
        {shown === group.alerts.length ? count(shown) : `${count(shown)} of ${count(group.alerts.length)}`} alert{group.alerts.length === 1 ? '' : 's'}
      </Badge>
      <span class="grow" />
      <span class="quiet">
        to <strong>{group.receiver.name}</strong>
        {next !== undefined && ` · looked at ${next > now ? ago(next, now) : 'now'}`}
      </span>
    </div>
  );
}

function AlertRow({ alert, all, open, onToggle, onPick }: { alert: Alert; all: Map<string, Alert>; open: boolean; onToggle: () => void } & Pick): JSX.Element {
  const kind = kindOf(alert);
  const summary = alert.annotations.summary ?? alert.annotations.description ?? alert.annotations.message;
  const matchers = Object.entries(alert.labels).map(([name, value]) => ({ name, value, isEqual: true, isRegex: false }));
  return (
    <div class="target alert" data-alert={alert.labels.alertname}>
      <span class="stack wide">
        <LabelChips labels={alert.labels} onPick={onPick} />
        {summary && <div class="pre">{summary}</div>}
        <Why alert={alert} all={all} />
      </span>
      <span>
        <Badge tone={kind === 'active' ? 'bad' : 'plain'}>{kind}</Badge>
      </span>
      <span>
        <Ago at={alert.startsAt} />
      </span>
      <span class="row">
        <a class="button small" href={silenceLink(matchers)}>
          Silence
        </a>
        <button type="button" class="linkish" aria-expanded={open} onClick={onToggle}>
          {open ? 'Less' : 'More'}
        </button>
      </span>
      {open && (
        <dl class="facts more">
          {Object.entries(alert.annotations).map(([name, text]) => (
            <>
              <dt key={`${name}.dt`}>{name}</dt>
              <dd key={`${name}.dd`} class="pre">
                <Linked text={text} />
              </dd>
            </>
          ))}
          <dt>Receivers</dt>
          <dd>{alert.receivers.map((r) => r.name).join(', ')}</dd>
          <dt>Last heard of</dt>
          <dd>
            <Ago at={alert.updatedAt} />
          </dd>
          <dt>Ends by itself</dt>
          <dd>
            <Ago at={alert.endsAt} />
          </dd>
          {alert.generatorURL && (
            <>
              <dt>Source</dt>
              <dd>
                <Linked text={alert.generatorURL} />
              </dd>
            </>
          )}
        </dl>
      )}
    </div>
  );
}

/** Text; a link where the whole of it is an http URL. */
function Linked({ text }: { text: string }): JSX.Element {
  return /^https?:\/\/\S+$/.test(text) ? (
    <a href={text} target="_blank" rel="noreferrer">
      {text}
    </a>
  ) : (
    <>{text}</>
  );
}

/** What keeps an alert from being sent. */
function Why({ alert, all }: { alert: Alert; all: Map<string, Alert> }): JSX.Element | null {
  const { silencedBy, inhibitedBy, mutedBy } = alert.status;
  if (silencedBy.length + inhibitedBy.length + mutedBy.length === 0) return null;
  return (
    <div class="quiet">
      {silencedBy.map((id) => (
        <div key={id}>
          Silenced by <a href={`#/silences/${id}`}>{id.slice(0, 8)}</a>
        </div>
      ))}
      {inhibitedBy.map((fingerprint) => (
        <div key={fingerprint}>Inhibited by {all.has(fingerprint) ? <LabelChips labels={all.get(fingerprint)!.labels} /> : `alert ${fingerprint}`}</div>
      ))}
      {mutedBy.length > 0 && <div>Muted by time interval {mutedBy.join(', ')}</div>}
    </div>
  );
}
