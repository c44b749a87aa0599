// #/status: version, cluster, configuration.
import type { JSX } from 'preact';
import { useLoad } from '../../core/load';
import { Ago, Badge, CopyButton, Shown } from '../../parts/bits';
import { api } from '../api';

export function StatusPage(): JSX.Element {
  const loaded = useLoad((signal) => api.status(signal), [], 30_000);
  return (
    <>
      <h1>Status</h1>
      <Shown of={loaded}>
        {(status) => (
          <>
            <div class="cards">
              <div class="panel">
                <h2>Process</h2>
                <dl class="facts" style={{ marginTop: '8px' }}>
                  <dt>Started</dt>
                  <dd>
                    <Ago at={status.uptime} />
                  </dd>
                  {Object.entries(status.versionInfo)
                    .filter(([name, value]) => value && name !== 'goVersion')
                    .map(([name, value]) => (
                      <>
                        <dt key={`${name}.dt`}>{name}</dt>
                        <dd key={`${name}.dd`}>{value}</dd>
                      </>
                    ))}
                </dl>
              </div>
              <div class="panel">
                <h2>Cluster</h2>
                <p>
                  <Badge tone={status.cluster.status === 'ready' ? 'good' : 'plain'}>{status.cluster.status}</Badge> {status.cluster.name}
                </p>
                {(status.cluster.peers ?? []).map((peer) => (
                  <div key={peer.name} class="mono">
                    {peer.name} {peer.address}
                  </div>
                ))}
              </div>
            </div>
            <div class="row bar" style={{ marginTop: '14px' }}>
              <h2 class="grow">Configuration</h2>
              <CopyButton text={status.config.original} />
            </div>
            <pre class="code" tabIndex={0} aria-label="Configuration as YAML">
              {status.config.original}
            </pre>
          </>
        )}
      </Shown>
    </>
  );
}
