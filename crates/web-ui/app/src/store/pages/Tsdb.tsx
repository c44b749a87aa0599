// /tsdb-status: what the series in memory are made of.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { v1 } from '../../core/api';
import { bytes, count } from '../../core/format';
import { quote } from '../../core/labels';
import { useLoad } from '../../core/load';
import { Shown, Time } from '../../parts/bits';
import { queryLink } from './groups';

interface Count {
  name: string;
  value: number;
}
interface Stats {
  headStats: { numSeries: number; numLabelPairs: number; chunkCount: number; minTime: number; maxTime: number };
  seriesCountByMetricName: Count[];
  labelValueCountByLabelName: Count[];
  memoryInBytesByLabelName: Count[];
  seriesCountByLabelValuePair: Count[];
}

export function TsdbPage(): JSX.Element {
  const [limit, setLimit] = useState(20);
  const loaded = useLoad(async (signal) => (await v1<Stats>('status/tsdb', { limit }, { signal })).data, [limit]);
  return (
    <>
      <div class="row bar">
        <h1 class="grow" style={{ margin: 0 }}>
          TSDB status
        </h1>
        <label class="row">
          Entries a list
          <select value={String(limit)} onChange={(event) => setLimit(Number(event.currentTarget.value))}>
            {[10, 20, 50, 100, 1000].map((n) => (
              <option key={n}>{n}</option>
            ))}
          </select>
        </label>
      </div>
      <Shown of={loaded}>{(stats) => <Lists stats={stats} />}</Shown>
    </>
  );
}

function Lists({ stats }: { stats: Stats }): JSX.Element {
  const head = stats.headStats;
  const none = head.numSeries === 0;
  return (
    <>
      <div class="panel">
        <h2>In memory</h2>
        <dl class="facts" style={{ marginTop: '8px' }}>
          <dt>Series</dt>
          <dd>{count(head.numSeries)}</dd>
          <dt>Chunks</dt>
          <dd>{count(head.chunkCount)}</dd>
          <dt>Label pairs</dt>
          <dd>{count(head.numLabelPairs)}</dd>
          <dt>Oldest sample</dt>
          <dd>{none ? 'none' : <Time at={head.minTime} />}</dd>
          <dt>Newest sample</dt>
          <dd>{none ? 'none' : <Time at={head.maxTime} />}</dd>
        </dl>
      </div>
      <div class="cards">
        <List title="Metrics with the most series" entries={stats.seriesCountByMetricName} link={(name) => queryLink(`count by (job) ({__name__=${quote(name)}})`, 'table')} whole={head.numSeries} />
        <List title="Labels with the most values" entries={stats.labelValueCountByLabelName} />
        <List title="Labels that take the most memory" entries={stats.memoryInBytesByLabelName} format={bytes} />
        <List
          title="Label pairs with the most series"
          entries={stats.seriesCountByLabelValuePair}
          whole={head.numSeries}
          link={(pair) => {
            const at = pair.indexOf('=');
            return queryLink(`topk(50, count by (__name__) ({${pair.slice(0, at)}=${quote(pair.slice(at + 1))}}))`, 'table');
          }}
        />
      </div>
    </>
  );
}

function List({ title, entries, format = count, link, whole }: { title: string; entries: Count[]; format?: (value: number) => string; link?: (name: string) => string; whole?: number }): JSX.Element {
  const most = whole ?? entries.reduce((m, e) => Math.max(m, e.value), 0);
  return (
    <div class="panel">
      <h2>{title}</h2>
      <table>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.name}>
              <td class="mono pre">{link ? <a href={link(entry.name)}>{entry.name}</a> : entry.name}</td>
              <td style={{ width: '25%' }}>
                <div class="meter" style={{ marginTop: '7px' }}>
                  <span style={{ width: `${most > 0 ? (entry.value / most) * 100 : 0}%` }} />
                </div>
              </td>
              <td class="number">{format(entry.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
