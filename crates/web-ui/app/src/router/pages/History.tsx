// #/history: what was sent last, to whom.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { count } from '../../core/format';
import { textFilter } from '../../core/labels';
import { useLoad } from '../../core/load';
import { Ago, Badge, Empty, SearchBox, Shown } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { api, type Notification } from '../api';

export function HistoryPage(): JSX.Element {
  const loaded = useLoad((signal) => api.notifications(signal), [], 15_000);
  return (
    <>
      <h1>History</h1>
      <p class="quiet">The last notification of each group to each of its receivers' integrations.</p>
      <Shown of={loaded}>{(entries) => <Entries entries={entries} />}</Shown>
    </>
  );
}

function Entries({ entries }: { entries: Notification[] }): JSX.Element {
  const [filter, setFilter] = useState('');
  const shown = useMemo(() => {
    const passes = textFilter(filter);
    return entries.filter((e) => passes(`${e.groupKey} ${e.receiver} ${e.integration}`));
  }, [entries, filter]);
  return (
    <>
      <div class="row bar">
        <SearchBox value={filter} onInput={setFilter} placeholder="Filter by group or receiver" label="Filter notifications" />
        <span class="quiet">{count(shown.length)}</span>
      </div>
      {shown.length === 0 && <Empty>Nothing was sent yet.</Empty>}
      <VirtualList
        items={shown}
        keyOf={(e) => `${e.receiver} ${e.integration} ${e.groupKey}`}
        estimate={56}
        label="Notifications"
        render={(e) => (
          <div class="result-row" style={{ background: 'var(--panel)' }}>
            <span class="stack">
              <span class="mono pre">{e.groupKey}</span>
              <div>
                <strong>{e.receiver}</strong> <span class="quiet">{e.integration}</span>
              </div>
            </span>
            <span class="row">
              {e.firing > 0 && <Badge tone="bad">{count(e.firing)} firing</Badge>}
              {e.resolved > 0 && <Badge tone="good">{count(e.resolved)} resolved</Badge>}
              <Ago at={e.timestamp} />
            </span>
          </div>
        )}
      />
    </>
  );
}
