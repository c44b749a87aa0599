// While the store still reads its log: how far it is.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { v1 } from '../core/api';
import { useLoad } from '../core/load';

interface Replay {
  min: number;
  max: number;
  current: number;
  state?: string;
}

export function StartBanner(): JSX.Element | null {
  const [done, setDone] = useState(false);
  const { data } = useLoad(
    async (signal) => {
      const replay = (await v1<Replay>('status/walreplay', {}, { signal })).data;
      if (replay.state === undefined || replay.state === 'done') setDone(true);
      return replay;
    },
    [],
    done ? undefined : 1000,
  );
  if (done || !data) return null;
  const whole = Math.max(1, data.max - data.min + 1);
  const part = Math.min(1, Math.max(0, (data.current - data.min) / whole));
  return (
    <div class="note warn" role="status" style={{ margin: '10px 16px' }}>
      The store is starting: segment {data.current} of {data.max} of its log has been read.
      <div class="meter" style={{ marginTop: '6px' }}>
        <span style={{ width: `${part * 100}%` }} />
      </div>
    </div>
  );
}
