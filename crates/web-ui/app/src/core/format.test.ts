import { describe, expect, it } from 'vitest';
import { ago, bytes, formatDuration, formatTime, parseDuration, parseTime, roughDuration, short } from './format';

describe('durations', () => {
  it.each([
    ['1h30m', 5_400_000],
    ['15s', 15_000],
    ['250ms', 250],
    ['0', 0],
    ['1d', 86_400_000],
  ])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms));
  it.each(['', 'h', '1', '1.5h', '5m1h', '-5m'])('%j is none', (text) => expect(parseDuration(text)).toBeNull());
  it.each([
    [0, '0s'],
    [5_400_000, '1h30m'],
    [8 * 86_400_000, '8d'],
    [7 * 86_400_000, '1w'],
    [1250, '1s250ms'],
  ])('%d is printed', (ms, text) => expect(formatDuration(ms)).toBe(text));
  it.each([
    [0.0041, '4.1ms'],
    [1.25, '1.25s'],
    [12_000, '3h 20m'],
    [86_400, '1d'],
  ])('%d roughly', (seconds, text) => expect(roughDuration(seconds)).toBe(text));
});

describe('times', () => {
  it('are read as they are printed', () => {
    const ms = Date.UTC(2026, 10, 21, 14, 3, 5);
    expect(formatTime(ms, true)).toBe('2026-11-21 14:03:05');
    expect(parseTime('2026-11-21 14:03:05', true)).toBe(ms);
    expect(parseTime(formatTime(ms, false), false)).toBe(ms);
    expect(parseTime('2026-11-21T14:03:05Z', false)).toBe(ms);
    expect(parseTime('1795269785', true)).toBe(1_795_269_785_000);
    expect(parseTime('soon', true)).toBeNull();
  });
  it('lie back', () => {
    expect(ago(1000, 61_000)).toBe('1m ago');
    expect(ago(61_000, 1000)).toBe('in 1m');
    expect(ago('0001-01-01T00:00:00Z', 0)).toBe('never');
  });
});

describe('numbers', () => {
  it('have units', () => {
    expect(short(1_234_567)).toBe('1.235M');
    expect(short(0)).toBe('0');
    expect(short(Infinity)).toBe('+Inf');
    expect(bytes(1536)).toBe('1.5 KiB');
  });
});
