import { expect, it } from 'vitest';
import { columnsOf, csvOf, heatmapOf, rowsOf, type QueryData } from './result';

it('lines series up over the steps, gaps as null', () => {
  const series = [{ metric: {}, values: [[10, '1'], [30, 'NaN']] as [number, string][] }, { metric: {}, values: [[20, '-Inf'], [30, '5']] as [number, string][] }];
  expect(columnsOf(series, 10_000, 30_000, 10_000)).toEqual([[10, 20, 30], [[1, null, null], [null, null, 5]]]);
});

it('takes classic buckets apart', () => {
  const bucket = (le: string, value: string) => ({ metric: { le, job: 'a' }, values: [[10, value]] as [number, string][] });
  const cells = heatmapOf([bucket('+Inf', '6'), bucket('1', '2'), bucket('5', '5')]).get(10);
  expect(cells).toEqual([
    { lower: 0, upper: 1, count: 2 },
    { lower: 1, upper: 5, count: 3 },
    { lower: 5, upper: Infinity, count: 1 },
  ]);
});

it('adds native buckets of all series', () => {
  const one = { metric: {}, histograms: [[10, { count: '3', sum: '4', buckets: [[0, '1', '2', '3']] }]] as never };
  expect(heatmapOf([one, one]).get(10)).toEqual([{ lower: 1, upper: 2, count: 6 }]);
});

it('writes CSV that no spreadsheet runs', () => {
  const data: QueryData = { resultType: 'vector', result: [{ metric: { a: '=1+1', b: 'x,"y"' }, value: [1.5, '-2'] }, { metric: { a: '' }, value: [1.5, '+Inf'] }] };
  expect(csvOf(data)).toBe('a,b,timestamp,value\r\n\'=1+1,"x,""y""",1.5,-2\r\n,,1.5,+Inf\r\n');
});

it('shows single values and samples over time', () => {
  expect(rowsOf({ resultType: 'scalar', result: [1, '2'] })).toEqual([{ labels: {}, value: '2', sort: 2 }]);
  const [row] = rowsOf({ resultType: 'matrix', result: [{ metric: { a: 'b' }, values: [[1, '2'], [3, '4']] }] });
  expect(row?.value).toBe('2 @1\n4 @3');
});
