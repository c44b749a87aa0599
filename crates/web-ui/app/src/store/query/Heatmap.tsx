// Histograms over time: a cell a bucket and step, its colour by the number of observations.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { formatTime, short } from '../../core/format';
import { dark, utc } from '../../core/settings';
import { Empty } from '../../parts/bits';
import { mountChart, ranging, type ChartOptions, type OnRange } from './chart';
import { heat } from './colours';
import { heatmapOf, type Cell, type InstantSeries } from './result';

interface Props {
  result: readonly InstantSeries[];
  startMs: number;
  endMs: number;
  stepMs: number;
  onRange: OnRange;
}

export function Heatmap({ result, startMs, endMs, stepMs, onRange }: Props): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const [tip, setTip] = useState<{ left: number; top: number; time: number; cell: Cell } | null>(null);
  const cells = useMemo(() => heatmapOf(result), [result]);
  const isDark = dark.value;
  const isUtc = utc.value;

  useEffect(() => {
    if (!place.current || cells.size === 0) return;
    const all = [...cells.values()].flat();
    const finite = all.flatMap((c) => [c.lower, c.upper]).filter((v) => Number.isFinite(v));
    let [low, high] = minMax(finite);
    if (low === high) [low, high] = [low - 1, high + 1];
    const smallest = finite.reduce((m, v) => (v > 0 && v < m ? v : m), Infinity);
    // Exponential buckets above zero want a logarithmic axis.
    const log = low >= 0 && high / smallest > 50;
    if (log) low = smallest / 2;
    const most = all.reduce((m, c) => Math.max(m, c.count), 0);
    const clamp = (v: number): number => Math.min(high, Math.max(low, v));
    const step = stepMs / 1000;
    const options: ChartOptions = {
      cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
      scales: { x: { range: [startMs / 1000 - step, endMs / 1000] }, y: { range: [low, high], distr: log ? 3 : 1 } },
      series: [{}, { paths: () => null, points: { show: false } }],
      plugins: [ranging(startMs, endMs, onRange)],
      hooks: {
        setCursor: [
          (u) => {
            const { left = -1, top = -1 } = u.cursor;
            if (left < 0) return setTip(null);
            const time = Math.ceil((u.posToVal(left, 'x') - startMs / 1000) / step) * step + startMs / 1000;
            const value = u.posToVal(top, 'y');
            const column = [...cells].find(([t]) => Math.abs(t - time) < step / 2);
            const cell = column?.[1].find((c) => clamp(c.lower) <= value && value < clamp(c.upper));
            setTip(cell && column ? { left, top, time: column[0], cell } : null);
          },
        ],
        draw: [
          (u) => {
            const { ctx } = u;
            ctx.save();
            for (const [time, column] of cells) {
              const x0 = u.valToPos(time - step, 'x', true);
              const x1 = u.valToPos(time, 'x', true);
              for (const cell of column) {
                if (cell.count <= 0) continue;
                const y0 = u.valToPos(clamp(cell.upper), 'y', true);
                const y1 = u.valToPos(clamp(cell.lower), 'y', true);
                ctx.fillStyle = heat(cell.count / most, isDark);
                ctx.fillRect(x0, y0, Math.max(1, x1 - x0), Math.max(1, y1 - y0));
              }
            }
            ctx.restore();
          },
        ],
      },
    };
    const times = [startMs / 1000, endMs / 1000];
    return mountChart(place.current, options, [times, [low, high]]).destroy;
  }, [cells, isDark, isUtc, startMs, endMs, stepMs, onRange]);

  if (cells.size === 0) return <Empty>No histograms here: a heatmap needs native histograms, or classic buckets with their label le.</Empty>;
  return (
    <div class="chart" ref={place} data-testid="heatmap" role="img" aria-label="Heatmap of the histograms">
      {tip && (
        <div class="tip" style={{ top: `${tip.top + 20}px`, left: `${tip.left + 84}px` }}>
          <div class="quiet">{formatTime(tip.time * 1000, utc.value)}</div>
          <strong>{short(tip.cell.count)}</strong> in {short(tip.cell.lower)} … {short(tip.cell.upper)}
        </div>
      )}
    </div>
  );
}

/** Least and greatest without spreading a long list over the stack. */
function minMax(values: readonly number[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return Number.isFinite(low) ? [low, high] : [0, 1];
}
