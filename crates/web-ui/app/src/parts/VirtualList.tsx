// A list of which only the rows in view are in the page: thousands of entries cost what a screenful does.
import type { ComponentChildren, JSX } from 'preact';
import { useCallback, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';

interface Props<T> {
  items: readonly T[];
  /** Stable identity of an item: measured heights are kept by it. */
  keyOf: (item: T, index: number) => string;
  /** Height in px before a row has been measured. */
  estimate: number;
  render: (item: T, index: number) => ComponentChildren;
  label?: string;
}

const MARGIN_PX = 400;

export function VirtualList<T>({ items, keyOf, estimate, render, label }: Props<T>): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const [version, setVersion] = useState(0);
  const [view, setView] = useState({ top: 0, bottom: window.innerHeight });

  // Where each row begins, and the whole height.
  const offsets = useMemo(() => {
    const starts = new Float64Array(items.length + 1);
    items.forEach((item, i) => {
      starts[i + 1] = starts[i]! + (heights.current.get(keyOf(item, i)) ?? estimate);
    });
    return starts;
    // keyOf is expected to be the same function of the item at every call.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [items, estimate, version]);

  const look = useCallback(() => {
    const rect = box.current?.getBoundingClientRect();
    if (!rect) return;
    const top = -rect.top - MARGIN_PX;
    const bottom = window.innerHeight - rect.top + MARGIN_PX;
    setView((old) => (Math.abs(old.top - top) < MARGIN_PX / 4 && Math.abs(old.bottom - bottom) < MARGIN_PX / 4 ? old : { top, bottom }));
  }, []);
  useLayoutEffect(() => {
    look();
    window.addEventListener('scroll', look, { passive: true });
    window.addEventListener('resize', look);
    return () => {
      window.removeEventListener('scroll', look);
      window.removeEventListener('resize', look);
    };
  }, [look, items]);

  const observer = useMemo(
    () =>
      new ResizeObserver((entries) => {
        let changed = false;
        for (const entry of entries) {
          const row = entry.target as HTMLElement;
          const key = row.dataset.key!;
          const height = row.getBoundingClientRect().height;
          if (height > 0 && Math.abs((heights.current.get(key) ?? -1) - height) > 0.5) {
            heights.current.set(key, height);
            changed = true;
          }
        }
        if (changed) setVersion((v) => v + 1);
      }),
    [],
  );
  useLayoutEffect(() => () => observer.disconnect(), [observer]);
  const measure = useCallback(
    (row: HTMLDivElement | null): void => {
      if (row) observer.observe(row);
    },
    [observer],
  );

  const first = Math.max(0, search(offsets, view.top) - 1);
  const last = Math.min(items.length, search(offsets, view.bottom) + 1);
  const rows = [];
  for (let i = first; i < last; i += 1) {
    const item = items[i]!;
    const key = keyOf(item, i);
    rows.push(
      <div key={key} data-key={key} ref={measure} class="vrow" role="listitem" aria-posinset={i + 1} aria-setsize={items.length} style={{ transform: `translateY(${offsets[i]}px)` }}>
        {render(item, i)}
      </div>,
    );
  }
  return (
    <div ref={box} class="vlist" role="list" aria-label={label} style={{ height: `${offsets[items.length]}px` }}>
      {rows}
    </div>
  );
}

/** The first index whose start is at or above `y`. */
function search(starts: Float64Array, y: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle]! < y) low = middle + 1;
    else high = middle;
  }
  return low;
}
