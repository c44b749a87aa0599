// /config: the configuration in force, secrets hidden.
import type { JSX } from 'preact';
import { v1 } from '../../core/api';
import { useLoad } from '../../core/load';
import { CopyButton, Shown } from '../../parts/bits';

export function ConfigPage(): JSX.Element {
  const loaded = useLoad(async (signal) => (await v1<{ yaml: string }>('status/config', {}, { signal })).data.yaml, []);
  return (
    <Shown of={loaded}>
      {(yaml) => (
        <>
          <div class="row bar">
            <h1 class="grow" style={{ margin: 0 }}>
              Configuration
            </h1>
            <CopyButton text={yaml} />
          </div>
          <pre class="code" tabIndex={0} aria-label="Configuration as YAML">
            {yaml}
          </pre>
        </>
      )}
    </Shown>
  );
}
