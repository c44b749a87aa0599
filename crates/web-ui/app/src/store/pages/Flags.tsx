// /flags: every flag and its value.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { v1 } from '../../core/api';
import { textFilter } from '../../core/labels';
import { useLoad } from '../../core/load';
import { SearchBox, Shown } from '../../parts/bits';

export function FlagsPage(): JSX.Element {
  const [filter, setFilter] = useState('');
  const loaded = useLoad(async (signal) => (await v1<Record<string, string>>('status/flags', {}, { signal })).data, []);
  const passes = textFilter(filter);
  return (
    <>
      <div class="row bar">
        <h1 style={{ margin: 0 }}>Flags</h1>
        <SearchBox value={filter} onInput={setFilter} placeholder="Filter by name or value" label="Filter flags" />
      </div>
      <Shown of={loaded}>
        {(flags) => (
          <div class="panel">
            <table class="mono">
              <tbody>
                {Object.entries(flags)
                  .filter(([name, value]) => passes(`${name} ${value}`))
                  .map(([name, value]) => (
                    <tr key={name}>
                      <td>--{name}</td>
                      <td class="pre">{value}</td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </div>
        )}
      </Shown>
    </>
  );
}
