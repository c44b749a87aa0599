// The expression as a tree: for each node what it gives now, how many series, and how long it takes.
import type { JSX } from 'preact';
import { v1 } from '../../core/api';
import { count, roughDuration } from '../../core/format';
import { useLoad } from '../../core/load';
import { Badge, Shown } from '../../parts/bits';

interface Node {
  text: string;
  kind: string;
  type: string;
  series?: number;
  samples?: number;
  milliseconds?: number;
  error?: string;
  children: Node[];
}

export function Explain({ expr, momentMs, run }: { expr: string; momentMs: number | null; run: number }): JSX.Element {
  const loaded = useLoad(
    async (signal) => (await v1<Node>('firewatch/explain', { query: expr, time: momentMs === null ? undefined : momentMs / 1000 }, { signal, post: true })).data,
    [expr, momentMs, run],
  );
  return <Shown of={loaded}>{(tree) => <ul class="tree" aria-label="Expression tree"><Branch node={tree} /></ul>}</Shown>;
}

function Branch({ node }: { node: Node }): JSX.Element {
  return (
    <li>
      <div class="tree-node stack">
        <span class="row">
          <code class="expr grow">{node.text}</code>
        </span>
        <span class="row">
          <Badge>{node.kind}</Badge>
          <span class="quiet">{node.type}</span>
          {node.series !== undefined && (
            <Badge tone={node.series === 0 ? 'warn' : 'accent'}>
              {count(node.series)} {node.type === 'scalar' || node.type === 'string' ? 'value' : 'series'}
            </Badge>
          )}
          {node.samples !== undefined && <span class="quiet">{count(node.samples)} samples read</span>}
          {node.milliseconds !== undefined && <span class="quiet">{roughDuration(node.milliseconds / 1000)}</span>}
          {node.error && <Badge tone="bad">{node.error}</Badge>}
        </span>
      </div>
      {node.children.length > 0 && (
        <ul>
          {node.children.map((child, i) => (
            <Branch key={i} node={child} />
          ))}
        </ul>
      )}
    </li>
  );
}
