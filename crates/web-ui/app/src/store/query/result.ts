// What queries answer, and what is made of it: rows, aligned columns for graphs, CSV.
import { seriesText, type Labels } from '../../core/labels';

export interface Histogram {
  count: string;
  sum: string;
  /** [boundary rule, lower, upper, count]; 0: open left, 1: open right, 2: open, 3: closed. */
  buckets?: [number, string, string, string][];
}

export interface InstantSeries {
  metric: Labels;
  value?: [number, string];
  histogram?: [number, Histogram];
  values?: [number, string][];
  histograms?: [number, Histogram][];
}

export interface Stats {
  timings?: Record<string, number>;
  samples?: { totalQueryableSamples: number; peakSamples: number };
}

export type SingleValue = { resultType: 'scalar' | 'string'; result: [number, string]; stats?: Stats };
export type QueryData = { resultType: 'vector' | 'matrix'; result: InstantSeries[]; stats?: Stats } | SingleValue;

/** Whether the answer is one value without labels. */
export function isSingle(data: QueryData): data is SingleValue {
  return data.resultType === 'scalar' || data.resultType === 'string';
}

export function numberOf(text: string): number {
  switch (text) {
    case '+Inf':
      return Infinity;
    case '-Inf':
      return -Infinity;
    default:
      return Number(text);
  }
}

/** `[lower, upper)` and the like, as the boundary rule says. */
export function bucketRange([rule, lower, upper]: [number, string, string, string]): string {
  return `${rule === 3 || rule === 1 ? '[' : '('}${lower}, ${upper}${rule === 3 || rule === 0 ? ']' : ')'}`;
}

export function histogramText(h: Histogram): string {
  return `count ${h.count}, sum ${h.sum}`;
}

export interface Row {
  labels: Labels;
  /** One line a sample. */
  value: string;
  histogram?: Histogram;
  sort: number;
}

export function rowsOf(data: QueryData): Row[] {
  if (isSingle(data)) {
    return [{ labels: {}, value: data.result[1], sort: numberOf(data.result[1]) }];
  }
  return data.result.map((series) => {
    if (series.value) return { labels: series.metric, value: series.value[1], sort: numberOf(series.value[1]) };
    if (series.histogram) {
      const h = series.histogram[1];
      return { labels: series.metric, value: histogramText(h), histogram: h, sort: Number(h.count) };
    }
    const lines = [
      ...(series.values ?? []).map(([t, v]) => [t, `${v} @${t}`] as const),
      ...(series.histograms ?? []).map(([t, h]) => [t, `${histogramText(h)} @${t}`] as const),
    ].sort((a, b) => a[0] - b[0]);
    return { labels: series.metric, value: lines.map((line) => line[1]).join('\n'), sort: lines.length };
  });
}

/** Columns over one axis: seconds, and for each series a value or `null` where it has none. */
export function columnsOf(result: readonly InstantSeries[], startMs: number, endMs: number, stepMs: number): [number[], (number | null)[][]] {
  const steps = Math.floor((endMs - startMs) / stepMs) + 1;
  const times = Array.from({ length: steps }, (_, i) => (startMs + i * stepMs) / 1000);
  const columns = result.map((series) => {
    const column: (number | null)[] = new Array(steps).fill(null);
    for (const [t, text] of series.values ?? []) {
      const i = Math.round((t * 1000 - startMs) / stepMs);
      const value = numberOf(text);
      if (i >= 0 && i < steps) column[i] = Number.isFinite(value) ? value : null;
    }
    for (const [t, h] of series.histograms ?? []) {
      const i = Math.round((t * 1000 - startMs) / stepMs);
      if (i >= 0 && i < steps) column[i] = numberOf(h.sum);
    }
    return column;
  });
  return [times, columns];
}

export interface Cell {
  lower: number;
  upper: number;
  count: number;
}

/** For each time the buckets of all series together: native histograms, or classic ones by `le`. */
export function heatmapOf(result: readonly InstantSeries[]): Map<number, Cell[]> {
  const cells = new Map<number, Map<string, Cell>>();
  const add = (time: number, lower: number, upper: number, amount: number): void => {
    let at = cells.get(time);
    if (!at) cells.set(time, (at = new Map()));
    const key = `${lower}/${upper}`;
    const cell = at.get(key);
    if (cell) cell.count += amount;
    else at.set(key, { lower, upper, count: amount });
  };
  for (const series of result) {
    for (const [t, h] of series.histograms ?? []) {
      for (const [, lower, upper, amount] of h.buckets ?? []) add(t, numberOf(lower), numberOf(upper), Number(amount));
    }
  }
  // Classic buckets are cumulative: within what is left of the labels each takes the one below away.
  const groups = new Map<string, [number, InstantSeries][]>();
  for (const series of result) {
    const { le, ...rest } = series.metric;
    if (le === undefined || !series.values) continue;
    const key = seriesText(rest);
    groups.set(key, [...(groups.get(key) ?? []), [numberOf(le), series]]);
  }
  for (const group of groups.values()) {
    group.sort((a, b) => a[0] - b[0]);
    const below = new Map<number, number>();
    let lower = group.length > 0 && group[0]![0] <= 0 ? -Infinity : 0;
    for (const [upper, series] of group) {
      for (const [t, text] of series.values ?? []) {
        const total = numberOf(text);
        const amount = total - (below.get(t) ?? 0);
        below.set(t, total);
        if (Number.isFinite(amount) && amount > 0) add(t, lower, upper, amount);
      }
      lower = upper;
    }
  }
  return new Map([...cells].map(([t, at]) => [t, [...at.values()].sort((a, b) => a.lower - b.lower)]));
}

/** RFC 4180. Text that a spreadsheet would take for a formula is kept as text. */
export function csvOf(data: QueryData): string {
  const cell = (text: string): string => {
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) && !/^[+-]Inf$/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const line = (cells: string[]): string => `${cells.map(cell).join(',')}\r\n`;
  if (isSingle(data)) {
    return line(['timestamp', 'value']) + line([String(data.result[0]), data.result[1]]);
  }
  const names = [...new Set(data.result.flatMap((series) => Object.keys(series.metric)))].sort();
  let text = line([...names, 'timestamp', 'value']);
  for (const series of data.result) {
    const labels = names.map((name) => series.metric[name] ?? '');
    const samples: [number, string][] = [
      ...(series.value ? [series.value] : []),
      ...(series.values ?? []),
      ...[...(series.histogram ? [series.histogram] : []), ...(series.histograms ?? [])].map(([t, h]): [number, string] => [t, JSON.stringify(h)]),
    ];
    for (const [t, value] of samples.sort((a, b) => a[0] - b[0])) text += line([...labels, String(t), value]);
  }
  return text;
}
