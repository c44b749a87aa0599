// /status: the process and its build.
import type { ComponentChildren, JSX } from 'preact';
import { v1 } from '../../core/api';
import { useLoad } from '../../core/load';
import { Ago, Badge, Shown, Time } from '../../parts/bits';

type Facts = Record<string, string | number | boolean>;

const TIMES = new Set(['startTime', 'serverTime', 'lastConfigTime']);

const NAMES: Record<string, string> = {
  startTime: 'Started',
  CWD: 'Working directory',
  hostname: 'Host',
  serverTime: 'Time of the server',
  reloadConfigSuccess: 'Configuration',
  lastConfigTime: 'Configuration loaded',
  corruptionCount: 'Damaged log segments found',
  goroutineCount: 'Threads',
  GOMAXPROCS: 'Processors',
  storageRetention: 'Retention',
  version: 'Version of the API',
  revision: 'Revision',
};

/** Names that only mean something in Go, or hold nothing. */
const shown = ([name, value]: [string, unknown]): boolean => value !== '' && (name === 'GOMAXPROCS' || !/^(GO|goVersion)/.test(name));

export function StatusPage(): JSX.Element {
  const loaded = useLoad(
    async (signal) => {
      const [runtime, build, managers] = await Promise.all([
        v1<Facts>('status/runtimeinfo', {}, { signal }),
        v1<Facts>('status/buildinfo', {}, { signal }),
        v1<{ activeAlertmanagers: { url: string }[] | null }>('alertmanagers', {}, { signal }),
      ]);
      return { runtime: runtime.data, build: build.data, managers: managers.data.activeAlertmanagers ?? [] };
    },
    [],
    30_000,
  );
  return (
    <>
      <h1>Status</h1>
      <Shown of={loaded}>
        {({ runtime, build, managers }) => (
          <div class="cards">
            <Card title="Process" facts={runtime} />
            <Card title="Build" facts={build} />
            {managers.length > 0 && (
              <div class="panel">
                <h2>Receivers of alerts</h2>
                {managers.map((m) => (
                  <div key={m.url} class="mono pre">
                    {m.url}
                  </div>
                ))}
              </div>
            )}
          </div>
        )}
      </Shown>
    </>
  );
}

function Card({ title, facts }: { title: string; facts: Facts }): JSX.Element {
  return (
    <div class="panel">
      <h2>{title}</h2>
      <dl class="facts" style={{ marginTop: '8px' }}>
        {Object.entries(facts)
          .filter(shown)
          .map(([name, value]) => (
            <Fact key={name} name={NAMES[name] ?? name}>
              {name === 'reloadConfigSuccess' ? (
                <Badge tone={value ? 'good' : 'bad'}>{value ? 'the last load succeeded' : 'the last load failed; the one before is in force'}</Badge>
              ) : TIMES.has(name) ? (
                <>
                  <Time at={String(value)} /> <span class="quiet">(<Ago at={String(value)} />)</span>
                </>
              ) : (
                String(value)
              )}
            </Fact>
          ))}
      </dl>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
