// Text for people: durations, times, numbers, sizes. Durations are Prometheus': 1h30m, 15s, 250ms.

const UNITS: [string, number][] = [
  ['y', 365 * 86_400_000],
  ['w', 7 * 86_400_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

/** Milliseconds of a duration in Prometheus' notation; `null` where it is none. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim();
  if (trimmed === '0') return 0;
  const match = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(trimmed);
  if (!match || trimmed === '') return null;
  return UNITS.reduce((sum, [, ms], i) => sum + Number(match[i + 1] ?? 0) * ms, 0);
}

/** Prometheus' notation, without weeks and years where they do not come out even. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  let rest = Math.round(Math.abs(ms));
  let text = ms < 0 ? '-' : '';
  for (const [unit, size] of UNITS) {
    const coarse = unit === 'y' || unit === 'w';
    if (coarse && rest % size !== 0) continue;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

/** For reading, not for parsing: two units at most (`3h 20m`, `1.25s`, `4.1ms`). */
export function roughDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return String(seconds);
  const abs = Math.abs(seconds);
  if (abs < 1) return `${trim(seconds * 1000, 1)}ms`;
  if (abs < 60) return `${trim(seconds, 2)}s`;
  const parts: [string, number][] = [
    ['d', 86400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ];
  let rest = Math.round(abs);
  const out: string[] = [];
  for (const [unit, size] of parts) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || out.length > 0) out.push(`${count}${unit}`);
    if (out.length === 2) break;
  }
  return (seconds < 0 ? '-' : '') + out.filter((part) => !part.startsWith('0')).join(' ');
}

/** How long ago, or in how long; empty for the year 1, which is Go's "never". */
export function ago(iso: string | number, now = Date.now()): string {
  const ms = typeof iso === 'number' ? iso : Date.parse(iso);
  if (!Number.isFinite(ms) || ms < -60_000_000_000_000) return 'never';
  const seconds = (now - ms) / 1000;
  if (Math.abs(seconds) < 0.5) return 'now';
  const whole = Math.max(1, Math.round(Math.abs(seconds)));
  return seconds > 0 ? `${roughDuration(whole)} ago` : `in ${roughDuration(whole)}`;
}

const two = (n: number): string => String(n).padStart(2, '0');

/** `2026-11-21 14:03:05`, in local time or UTC. */
export function formatTime(ms: number, utc: boolean): string {
  const d = new Date(ms);
  return utc
    ? `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`
    : `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** The inverse of `formatTime`; also takes ISO and Unix seconds. `null` where it is none of these. */
export function parseTime(text: string, utc: boolean): number | null {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000);
  const match = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(trimmed);
  if (match) {
    const [y, mo, d, h, mi, s] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number, number, number];
    return utc ? Date.UTC(y, mo - 1, d, h, mi, s) : new Date(y, mo - 1, d, h, mi, s).getTime();
  }
  const ms = Date.parse(trimmed);
  return Number.isNaN(ms) ? null : ms;
}

function trim(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

/** 1234567 -> `1,234,567`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < SIZES.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${trim(size, unit === 0 ? 0 : 1)} ${SIZES[unit]}`;
}

/** Axis ticks and legends: four significant digits with k, M, G, T. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  const abs = Math.abs(value);
  if (abs === 0) return '0';
  if (abs < 1e-3 || abs >= 1e15) return value.toExponential(2);
  for (const [size, unit] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (abs >= size) return `${Number((value / size).toPrecision(4))}${unit}`;
  }
  return String(Number(value.toPrecision(4)));
}
