// The answer of an instant query as rows.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { seriesText } from '../../core/labels';
import { Empty, SeriesName } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { bucketRange, isSingle, rowsOf, type Histogram, type QueryData, type Row } from './result';

export function ResultTable({ data }: { data: QueryData }): JSX.Element {
  const [order, setOrder] = useState<'none' | 'down' | 'up'>('none');
  const rows = useMemo(() => {
    const all = rowsOf(data);
    if (order === 'none') return all;
    return all.sort((a, b) => (order === 'up' ? a.sort - b.sort : b.sort - a.sort));
  }, [data, order]);
  if (rows.length === 0) return <Empty>The query gives no series.</Empty>;
  const next = { none: 'down', down: 'up', up: 'none' } as const;
  return (
    <div data-testid="table">
      {rows.length > 1 && (
        <div class="row" style={{ justifyContent: 'flex-end' }}>
          <button type="button" class="button small" onClick={() => setOrder(next[order])}>
            {order === 'none' ? 'Sort by value' : order === 'down' ? 'Largest first' : 'Smallest first'}
          </button>
        </div>
      )}
      <VirtualList items={rows} keyOf={(row, i) => `${i} ${seriesText(row.labels)}`} estimate={30} render={(row) => <ResultRow row={row} scalar={isSingle(data)} />} label="Result" />
    </div>
  );
}

function ResultRow({ row, scalar }: { row: Row; scalar: boolean }): JSX.Element {
  return (
    <div class="result-row">
      {scalar ? <span class="quiet">value</span> : <SeriesName labels={row.labels} />}
      <span>
        <span class="result-value">{row.value}</span>
        {row.histogram?.buckets && row.histogram.buckets.length > 0 && <Buckets histogram={row.histogram} />}
      </span>
    </div>
  );
}

/** The buckets of one histogram as bars. */
function Buckets({ histogram }: { histogram: Histogram }): JSX.Element {
  const buckets = histogram.buckets ?? [];
  const most = buckets.reduce((m, b) => Math.max(m, Number(b[3])), 0);
  return (
    <table class="mono">
      <tbody>
        {buckets.map((bucket, i) => (
          <tr key={i}>
            <td class="number">{bucketRange(bucket)}</td>
            <td style={{ width: '160px' }}>
              <div class="meter" style={{ marginTop: '6px' }}>
                <span style={{ width: `${most > 0 ? (Number(bucket[3]) / most) * 100 : 0}%` }} />
              </div>
            </td>
            <td class="number">{bucket[3]}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
