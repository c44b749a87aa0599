import { expect, it } from 'vitest';
import { decodePanels, encodePanels, newPanel, nextRange, stepOf } from './state';

it('reads what it writes', () => {
  const panels = [
    { ...newPanel('sum(rate(x[5m]))'), tab: 'graph' as const, rangeMs: 5_400_000, endMs: Date.UTC(2026, 0, 2, 3, 4, 5), display: 'stacked' as const, exemplars: true },
    { ...newPanel('up'), momentMs: Date.UTC(2026, 0, 1), resolution: { type: 'custom' as const, stepMs: 7000 } },
  ];
  const read = decodePanels(encodePanels(panels));
  expect(read.map((p) => ({ ...p, id: 0 }))).toEqual(panels.map((p) => ({ ...p, id: 0 })));
});

it('reads the links of alerts and of old pages', () => {
  const [old] = decodePanels(new URLSearchParams('g0.expr=up%20%3D%3D%200&g0.tab=1'));
  expect(old).toMatchObject({ expr: 'up == 0', tab: 'table' });
  const [graph] = decodePanels(new URLSearchParams('g0.expr=x&g0.tab=0&g0.stacked=1&g0.range_input=2h&g0.step_input=30'));
  expect(graph).toMatchObject({ tab: 'graph', display: 'stacked', rangeMs: 7_200_000, resolution: { type: 'custom', stepMs: 30_000 } });
});

it('steps and ranges', () => {
  expect(stepOf({ ...newPanel(), rangeMs: 3_600_000 })).toBe(14_000);
  expect(stepOf({ ...newPanel(), rangeMs: 10_000 })).toBe(40);
  expect(nextRange(3_600_000, true)).toBe(7_200_000);
  expect(nextRange(3_600_000, false)).toBe(1_800_000);
  expect(nextRange(1000, false)).toBe(1000);
});
