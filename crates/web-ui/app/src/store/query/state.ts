// What a query page shows, as its URL says it: Prometheus' parameters (`g0.expr`, `g0.tab`, …), the old
// ones of /graph included, so that links in alerts and bookmarks go on working.
import { formatDuration, formatTime, parseDuration, parseTime } from '../../core/format';

export type Tab = 'table' | 'graph' | 'explain';
export type Display = 'lines' | 'stacked' | 'heatmap';
export type Density = 'low' | 'medium' | 'high';
export type Resolution = { type: 'auto'; density: Density } | { type: 'custom'; stepMs: number };

export interface Panel {
  /** Identity within the page; not part of the URL. */
  id: number;
  expr: string;
  tab: Tab;
  rangeMs: number;
  /** End of the graph in ms; `null` follows the clock. */
  endMs: number | null;
  /** Moment of the table in ms; `null` follows the clock. */
  momentMs: number | null;
  resolution: Resolution;
  display: Display;
  exemplars: boolean;
}

let lastId = 0;

export function newPanel(expr = ''): Panel {
  lastId += 1;
  return {
    id: lastId,
    expr,
    tab: 'table',
    rangeMs: 3_600_000,
    endMs: null,
    momentMs: null,
    resolution: { type: 'auto', density: 'medium' },
    display: 'lines',
    exemplars: false,
  };
}

/** Times in links are UTC, as Prometheus writes them. */
export function decodePanels(params: URLSearchParams): Panel[] {
  const panels: Panel[] = [];
  for (let i = 0; params.has(`g${i}.expr`) || params.has(`g${i}.tab`); i += 1) {
    const get = (name: string): string => params.get(`g${i}.${name}`) ?? '';
    const panel = newPanel(get('expr'));
    const tab = get('tab');
    if (tab === 'graph' || tab === '0') panel.tab = 'graph';
    else if (tab === 'explain' || tab === 'tree') panel.tab = 'explain';
    panel.rangeMs = parseDuration(get('range_input')) || panel.rangeMs;
    if (get('end_input')) panel.endMs = parseTime(get('end_input'), true);
    if (get('moment_input')) panel.momentMs = parseTime(get('moment_input'), true);
    const density = get('res_density');
    if (density === 'low' || density === 'medium' || density === 'high') panel.resolution = { type: 'auto', density };
    const step = Number(get('res_step') || get('step_input')) * 1000;
    if (get('res_type') !== 'auto' && step > 0) panel.resolution = { type: 'custom', stepMs: step };
    const display = get('display_mode');
    if (display === 'stacked' || display === 'heatmap') panel.display = display;
    if (get('stacked') === '1') panel.display = 'stacked';
    panel.exemplars = get('show_exemplars') === '1';
    panels.push(panel);
  }
  return panels;
}

export function encodePanels(panels: readonly Panel[]): URLSearchParams {
  const params = new URLSearchParams();
  panels.forEach((panel, i) => {
    const set = (name: string, value: string): void => params.set(`g${i}.${name}`, value);
    set('expr', panel.expr);
    set('tab', panel.tab);
    set('range_input', formatDuration(panel.rangeMs));
    if (panel.endMs !== null) set('end_input', formatTime(panel.endMs, true));
    if (panel.momentMs !== null) set('moment_input', formatTime(panel.momentMs, true));
    if (panel.resolution.type === 'auto') {
      set('res_type', 'auto');
      set('res_density', panel.resolution.density);
    } else {
      set('res_type', 'custom');
      set('res_step', String(panel.resolution.stepMs / 1000));
    }
    set('display_mode', panel.display);
    set('show_exemplars', panel.exemplars ? '1' : '0');
  });
  return params;
}

const POINTS: Record<Density, number> = { low: 100, medium: 250, high: 750 };

/** The step of a graph in ms: whole seconds from a second on, as upstream's pages have it. */
export function stepOf(panel: Panel): number {
  if (panel.resolution.type === 'custom') return panel.resolution.stepMs;
  const step = panel.rangeMs / POINTS[panel.resolution.density];
  return step >= 1000 ? Math.floor(step / 1000) * 1000 : Math.max(1, Math.floor(step));
}

const RANGES = ['1s', '10s', '1m', '5m', '15m', '30m', '1h', '2h', '6h', '12h', '1d', '2d', '7d', '14d', '28d', '56d', '112d', '182d', '365d', '730d'].map((text) => parseDuration(text)!);

/** The next range up or down. */
export function nextRange(rangeMs: number, wider: boolean): number {
  return (wider ? RANGES.find((r) => r > rangeMs) : RANGES.findLast((r) => r < rangeMs)) ?? rangeMs;
}
