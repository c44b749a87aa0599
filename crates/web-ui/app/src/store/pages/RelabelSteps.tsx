// What each relabeling rule of a pool made of a target's labels.
import type { JSX } from 'preact';
import { v1 } from '../../core/api';
import type { Labels } from '../../core/labels';
import { useLoad } from '../../core/load';
import { Badge, LabelChips, Shown } from '../../parts/bits';

interface Step {
  rule: Record<string, unknown>;
  output: Labels;
  keep: boolean;
}

export function RelabelSteps({ pool, labels }: { pool: string; labels: Labels }): JSX.Element {
  const key = JSON.stringify(labels);
  const loaded = useLoad(async (signal) => (await v1<{ steps: Step[] }>('targets/relabel_steps', { scrapePool: pool, labels: key }, { signal })).data.steps ?? [], [pool, key]);
  return (
    <Shown of={loaded}>
      {(steps) =>
        steps.length === 0 ? (
          <p class="quiet">The pool has no relabeling rules.</p>
        ) : (
          <table aria-label="Relabeling, step by step">
            <thead>
              <tr>
                <th>Rule</th>
                <th>Labels after it that it changed</th>
              </tr>
            </thead>
            <tbody>
              {steps.map((step, i) => (
                <tr key={i}>
                  <td class="mono pre" style={{ width: '40%' }}>
                    {Object.entries(step.rule)
                      .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
                      .join('\n')}
                  </td>
                  <td>{step.keep ? <Changes before={i === 0 ? labels : steps[i - 1]!.output} after={step.output} /> : <Badge tone="bad">dropped here</Badge>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )
      }
    </Shown>
  );
}

function Changes({ before, after }: { before: Labels; after: Labels }): JSX.Element {
  const set = Object.fromEntries(Object.entries(after).filter(([name, value]) => before[name] !== value));
  const removed = Object.keys(before).filter((name) => !(name in after));
  if (Object.keys(set).length === 0 && removed.length === 0) return <span class="quiet">nothing</span>;
  return (
    <span class="stack">
      <LabelChips labels={set} />
      {removed.length > 0 && <div class="quiet">removed: {removed.join(', ')}</div>}
    </span>
  );
}
