// Queries run before in this browser.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { textFilter } from '../../core/labels';
import { history } from '../../core/settings';
import { Empty, SearchBox } from '../../parts/bits';

export function HistoryList({ onPick }: { onPick: (text: string) => void }): JSX.Element {
  const [filter, setFilter] = useState('');
  const passes = textFilter(filter);
  const found = history.value.filter((text) => passes(text));
  return (
    <div class="panel history" role="dialog" aria-label="Queries run before">
      <div class="row">
        <SearchBox value={filter} onInput={setFilter} placeholder="Filter" label="Filter the history" />
        <button type="button" class="button small danger" onClick={() => (history.value = [])}>
          Forget all
        </button>
      </div>
      {found.length === 0 && <Empty>Nothing yet.</Empty>}
      {found.map((text) => (
        <button type="button" key={text} class="entry" onClick={() => onPick(text)}>
          {text}
        </button>
      ))}
    </div>
  );
}
