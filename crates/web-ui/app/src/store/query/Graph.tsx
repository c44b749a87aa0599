// A graph over time: lines or stacked areas with a legend; drag to zoom, Shift-drag to pan.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import { flipped } from '../../core/flip';
import { formatTime } from '../../core/format';
import type { Labels } from '../../core/labels';
import { dark, utc } from '../../core/settings';
import { SeriesName } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { CHART_HEIGHT, mountChart, ranging, type ChartOptions, type OnRange } from './chart';
import { colourOf } from './colours';
import { columnsOf, type InstantSeries } from './result';

export interface Exemplar {
  seriesLabels: Labels;
  labels: Labels;
  value: number;
  timestamp: number;
}

interface Props {
  result: readonly InstantSeries[];
  exemplars: readonly Exemplar[];
  startMs: number;
  endMs: number;
  stepMs: number;
  stacked: boolean;
  onRange: OnRange;
}

/** More lines than this are no picture any more, and cost seconds. */
const DRAWN = 500;

export function Graph({ result, exemplars, startMs, endMs, stepMs, stacked, onRange }: Props): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const [all, setAll] = useState(false);
  const [tip, setTip] = useState<{ left: number; top: number; index: number; series: number } | null>(null);
  const shown = all ? result : result.slice(0, DRAWN);
  const [times, columns] = useMemo(() => columnsOf(shown, startMs, endMs, stepMs), [shown, startMs, endMs, stepMs]);
  const drawn = useMemo(() => (stacked ? stack(columns, hidden) : columns), [columns, stacked, hidden]);
  const isDark = dark.value;
  const isUtc = utc.value;
  useEffect(() => setHidden(new Set()), [result]);

  useEffect(() => {
    if (!place.current) return;
    const order = stacked ? shown.map((_, i) => shown.length - 1 - i) : shown.map((_, i) => i);
    const options: ChartOptions = {
      cursor: { drag: { x: true, y: false, setScale: false }, focus: { prox: 24 }, points: { size: 7 } },
      focus: { alpha: 0.35 },
      scales: { x: { range: [startMs / 1000, endMs / 1000] } },
      series: [
        {},
        ...order.map((i) => ({
          show: !hidden.has(i),
          stroke: colourOf(i, isDark),
          width: 1.5,
          fill: stacked ? colourOf(i, isDark).replace(')', ' / 35%)') : undefined,
          points: { show: times.length < 3 || isolated(columns[i]!) },
        })),
      ],
      plugins: [ranging(startMs, endMs, onRange)],
      hooks: {
        setCursor: [
          (u) => {
            const { left = -1, top = -1, idx } = u.cursor;
            if (left < 0 || idx === null || idx === undefined) return setTip(null);
            const nearest = nearestSeries(u, idx, top);
            setTip(nearest === null ? null : { left, top, index: idx, series: order[nearest - 1]! });
          },
        ],
        draw: [(u) => drawExemplars(u, exemplars)],
      },
    };
    const data: uPlot.AlignedData = [times, ...order.map((i) => drawn[i]!)];
    const made = mountChart(place.current, options, data);
    chart.current = made.chart;
    return () => {
      made.destroy();
      chart.current = null;
    };
  }, [times, drawn, stacked, hidden, exemplars, isDark, isUtc, startMs, endMs, onRange]);

  const toggle = (index: number, event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey) return setHidden(flipped(hidden, index));
    // Alone, or all again where it was alone.
    const alone = hidden.size === shown.length - 1 && !hidden.has(index);
    setHidden(new Set(alone ? [] : shown.map((_, i) => i).filter((i) => i !== index)));
  };
  const items = useMemo(() => shown.map((series, index) => ({ series, index })), [shown]);
  const tipSeries = tip ? shown[tip.series] : undefined;
  return (
    <div>
      <div class="chart" ref={place} data-testid="graph" role="img" aria-label={`Graph of ${shown.length} series; the legend below lists them`}>
        {tip && tipSeries && (
          <div class="tip" style={{ top: `${Math.min(tip.top + 20, CHART_HEIGHT - 60)}px`, ...(tip.left > (chart.current?.width ?? 800) / 2 ? { right: `${(chart.current?.width ?? 800) - tip.left - 44}px` } : { left: `${tip.left + 84}px` }) }}>
            <div class="quiet">{formatTime(times[tip.index]! * 1000, utc.value)}</div>
            <div>
              <span class="swatch" style={{ display: 'inline-block', background: colourOf(tip.series, isDark) }} /> <strong>{String(columns[tip.series]?.[tip.index] ?? '')}</strong>
            </div>
            <SeriesName labels={tipSeries.metric} />
          </div>
        )}
      </div>
      {result.length > shown.length && (
        <div class="note info">
          The first {DRAWN} of {result.length} series are drawn.{' '}
          <button type="button" class="button small" onClick={() => setAll(true)}>
            Draw all
          </button>
        </div>
      )}
      <div class="legend">
        <VirtualList
          items={items}
          keyOf={(item) => String(item.index)}
          estimate={24}
          label="Legend"
          render={({ series, index }) => (
            <button type="button" class="legend-row" aria-pressed={!hidden.has(index)} title="Click: this one alone. Ctrl-click: this one on or off." onClick={(event) => toggle(index, event)}>
              <span class="swatch" style={{ background: colourOf(index, isDark) }} />
              <SeriesName labels={series.metric} />
            </button>
          )}
        />
      </div>
    </div>
  );
}

/** Whether some value has no neighbour: lines alone would not show it. */
function isolated(column: readonly (number | null)[]): boolean {
  return column.some((v, i) => v !== null && (column[i - 1] ?? null) === null && (column[i + 1] ?? null) === null);
}

/** Each series on top of those before it; gaps count as nothing, and stay gaps. */
function stack(columns: readonly (number | null)[][], hidden: ReadonlySet<number>): (number | null)[][] {
  const sums: number[] = new Array(columns[0]?.length ?? 0).fill(0);
  return columns.map((column, i) =>
    hidden.has(i)
      ? column
      : column.map((v, t) => {
          if (v === null) return null;
          sums[t] = sums[t]! + v;
          return sums[t]!;
        }),
  );
}

/** The shown series whose point at `index` is nearest to the height `top`; 1-based, as uPlot counts. */
function nearestSeries(u: uPlot, index: number, top: number): number | null {
  let best: number | null = null;
  let distance = Infinity;
  for (let i = 1; i < u.series.length; i += 1) {
    const value = u.data[i]![index];
    if (!u.series[i]!.show || value === null || value === undefined) continue;
    const d = Math.abs(u.valToPos(value, 'y') - top);
    if (d < distance) [best, distance] = [i, d];
  }
  return best;
}

function drawExemplars(u: uPlot, exemplars: readonly Exemplar[]): void {
  const { ctx } = u;
  ctx.save();
  ctx.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--accent');
  for (const exemplar of exemplars) {
    const x = u.valToPos(exemplar.timestamp, 'x', true);
    const y = u.valToPos(exemplar.value, 'y', true);
    if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
    const size = 4 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
    ctx.lineTo(x - size, y);
    ctx.fill();
  }
  ctx.restore();
}
