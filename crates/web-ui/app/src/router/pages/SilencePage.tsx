// #/silences/ID: one silence and the alerts that it hits.
import type { JSX } from 'preact';
import { matcherText } from '../../core/labels';
import { useLoad } from '../../core/load';
import { Shown, Time } from '../../parts/bits';
import { api } from '../api';
import { Hits } from './Hits';
import { SilenceCard } from './Silences';

export function SilencePage({ id }: { id: string }): JSX.Element {
  const loaded = useLoad((signal) => api.silence(id, signal), [id], 15_000);
  return (
    <>
      <h1>Silence</h1>
      <Shown of={loaded}>
        {(silence) => (
          <>
            <SilenceCard silence={silence} onChange={loaded.reload} />
            <div class="panel">
              <dl class="facts">
                <dt>Identity</dt>
                <dd class="mono">{silence.id}</dd>
                <dt>Starts</dt>
                <dd>
                  <Time at={silence.startsAt} />
                </dd>
                <dt>Ends</dt>
                <dd>
                  <Time at={silence.endsAt} />
                </dd>
                <dt>Last changed</dt>
                <dd>
                  <Time at={silence.updatedAt} />
                </dd>
              </dl>
            </div>
            <Hits key={silence.matchers.map(matcherText).join()} matchers={silence.matchers} />
          </>
        )}
      </Shown>
    </>
  );
}
