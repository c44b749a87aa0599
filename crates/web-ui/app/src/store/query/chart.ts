// What the two kinds of chart share: axes, size, and how a range is chosen with the mouse.
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { short } from '../../core/format';
import { utc } from '../../core/settings';

export const CHART_HEIGHT = 340;

/** Called with a new range in ms. */
export type OnRange = (startMs: number, endMs: number) => void;

function axes(): uPlot.Axis[] {
  const style = getComputedStyle(document.documentElement);
  const stroke = style.getPropertyValue('--quiet');
  const grid = { stroke: style.getPropertyValue('--line'), width: 1 };
  return [
    { stroke, grid, ticks: grid },
    { stroke, grid, ticks: grid, size: 64, values: (_, ticks) => ticks.map((t) => (t === null ? '' : short(t))) },
  ];
}

/** Dates of the axis in the chosen time zone. */
const zoned = (ts: number): Date => (utc.value ? uPlot.tzDate(new Date(ts * 1000), 'UTC') : new Date(ts * 1000));

/** A drag zooms to what it covers, a Shift-drag moves the range. */
export function ranging(startMs: number, endMs: number, onRange: OnRange): uPlot.Plugin {
  return {
    hooks: {
      setSelect: (u) => {
        const { left, width } = u.select;
        const at = (x: number): number => Math.round(u.posToVal(x, 'x') * 1000);
        if (width > 4) onRange(at(left), at(left + width));
      },
      ready: (u) => {
        u.over.addEventListener('mousedown', (down) => {
          if (!down.shiftKey || down.button !== 0) return;
          down.preventDefault();
          down.stopImmediatePropagation();
          const from = down.clientX;
          const perPx = (endMs - startMs) / u.over.clientWidth;
          const up = (event: MouseEvent): void => {
            const shift = Math.round((from - event.clientX) * perPx);
            if (shift !== 0) onRange(startMs + shift, endMs + shift);
          };
          document.addEventListener('mouseup', up, { once: true });
        }, true);
      },
    },
  };
}

/** What the kinds of chart differ in. */
export type ChartOptions = Omit<uPlot.Options, 'width' | 'height'>;

/** Draws a chart in `place`, as wide as it is for as long as it lasts. */
export function mountChart(place: HTMLElement, options: ChartOptions, data: uPlot.AlignedData): { chart: uPlot; destroy: () => void } {
  const chart = new uPlot({ ...options, width: place.clientWidth, height: CHART_HEIGHT, legend: { show: false }, tzDate: zoned, axes: axes() }, data, place);
  const observer = new ResizeObserver(() => {
    const width = place.clientWidth;
    if (width > 0 && width !== chart.width) chart.setSize({ width, height: CHART_HEIGHT });
  });
  observer.observe(place);
  const destroy = (): void => {
    observer.disconnect();
    chart.destroy();
  };
  return { chart, destroy };
}
