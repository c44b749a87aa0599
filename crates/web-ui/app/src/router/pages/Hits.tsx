// The alerts that a list of matchers hits now.
import type { JSX } from 'preact';
import { count } from '../../core/format';
import { matcherText, type Matcher } from '../../core/labels';
import { useLoad } from '../../core/load';
import { Empty, LabelChips, Shown } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { api } from '../api';

export function Hits({ matchers }: { matchers: readonly Matcher[] }): JSX.Element {
  const filter = matchers.map(matcherText);
  const loaded = useLoad((signal) => api.alerts({ filter }, signal), [filter.join('\n')], 30_000);
  return (
    <section class="panel" aria-label="Alerts that are hit">
      <Shown of={loaded}>
        {(alerts) => (
          <>
            <h2>
              {count(alerts.length)} alert{alerts.length === 1 ? '' : 's'} hit now
            </h2>
            {alerts.length === 0 && <Empty>No alert has these labels now.</Empty>}
            <VirtualList
              items={alerts}
              keyOf={(alert) => alert.fingerprint}
              estimate={34}
              label="Alerts that are hit"
              render={(alert) => (
                <div style={{ padding: '4px 0' }}>
                  <LabelChips labels={alert.labels} />
                </div>
              )}
            />
          </>
        )}
      </Shown>
    </section>
  );
}
