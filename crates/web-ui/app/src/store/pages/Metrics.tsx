// /explore: the metrics there are, what they mean, and what their labels hold.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { v1 } from '../../core/api';
import { count } from '../../core/format';
import { quote } from '../../core/labels';
import { useDelayed, useLoad } from '../../core/load';
import { search, setSearch } from '../../core/route';
import { Badge, CopyButton, Empty, ErrorBox, Fold, SearchBox, Shown } from '../../parts/bits';
import { VirtualList } from '../../parts/VirtualList';
import { queryLink } from './groups';

interface Meta {
  type: string;
  help: string;
  unit: string;
}
type MetaByName = Record<string, Meta[]>;

export function MetricsPage(): JSX.Element {
  const loaded = useLoad(
    async (signal) => {
      const [names, meta] = await Promise.all([v1<string[]>('label/__name__/values', {}, { signal }), v1<MetaByName>('metadata', {}, { signal })]);
      return { names: names.data, meta: meta.data };
    },
    [],
  );
  return (
    <>
      <h1>Metrics</h1>
      <Shown of={loaded}>{({ names, meta }) => <Browser names={names} meta={meta} />}</Shown>
    </>
  );
}

/** Metadata is kept by family: a histogram's of `x` describes `x_bucket`. */
function metaOf(name: string, meta: MetaByName): Meta | undefined {
  return (meta[name] ?? meta[name.replace(/_(bucket|sum|count|total|created|info)$/, '')])?.[0];
}

function Browser({ names, meta }: { names: string[]; meta: MetaByName }): JSX.Element {
  const filter = search.value.get('search') ?? '';
  const chosen = search.value.get('metric') ?? '';
  const late = useDelayed(filter, 120);
  const shown = useMemo(() => {
    const words = late.toLowerCase().split(/\s+/).filter(Boolean);
    return names.filter((name) => {
      const text = `${name} ${metaOf(name, meta)?.help ?? ''}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }, [names, meta, late]);
  return (
    <>
      <div class="row bar">
        <SearchBox value={filter} onInput={(text) => setSearch({ search: text })} placeholder="Words of the name or the description" label="Filter metrics" />
        <span class="quiet">
          {count(shown.length)} of {count(names.length)}
        </span>
      </div>
      {names.length === 0 && <Empty>The store holds no series yet.</Empty>}
      <div class="split">
        <div>
          <VirtualList
            items={shown}
            keyOf={(name) => name}
            estimate={50}
            label="Metrics"
            render={(name) => {
              const about = metaOf(name, meta);
              return (
                <button type="button" class="pick" aria-pressed={name === chosen} onClick={() => setSearch({ metric: name })}>
                  <span class="mono">{name}</span> {about && <span class="quiet">{about.type}</span>}
                  {about?.help && <div class="quiet" style={{ fontSize: '12.5px', whiteSpace: 'nowrap', overflow: 'hidden', textOverflow: 'ellipsis' }}>{about.help}</div>}
                </button>
              );
            }}
          />
        </div>
        <div class="sticky">{chosen ? <Details key={chosen} name={chosen} meta={metaOf(chosen, meta)} /> : <Empty>Choose a metric.</Empty>}</div>
      </div>
    </>
  );
}

function suggested(name: string, type: string | undefined): string {
  const selector = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name) ? name : `{${quote(name)}}`;
  if (name.endsWith('_bucket')) return `histogram_quantile(0.95, sum by (le) (rate(${selector}[5m])))`;
  return type === 'counter' || name.endsWith('_total') ? `rate(${selector}[5m])` : selector;
}

function Details({ name, meta }: { name: string; meta: Meta | undefined }): JSX.Element {
  const selector = `{__name__=${quote(name)}}`;
  const loaded = useLoad(
    async (signal) => {
      const [labels, series] = await Promise.all([
        v1<string[]>('labels', { 'match[]': selector }, { signal }),
        v1<{ result: { value: [number, string] }[] }>('query', { query: `count(${selector})` }, { signal }),
      ]);
      return { labels: labels.data.filter((label) => label !== '__name__'), series: Number(series.data.result[0]?.value[1] ?? 0) };
    },
    [name],
  );
  const expr = suggested(name, meta?.type);
  return (
    <section class="panel stack" aria-label={name}>
      <h2 class="mono pre">{name}</h2>
      {meta && (
        <p class="pre" style={{ margin: '4px 0' }}>
          <Badge>{meta.type}</Badge> {meta.unit && <Badge tone="accent">{meta.unit}</Badge>} {meta.help}
        </p>
      )}
      <div class="row">
        <a class="button primary" href={queryLink(expr)}>
          Graph
        </a>
        <a class="button" href={queryLink(name === expr ? name : selector, 'table')}>
          Series now
        </a>
        <CopyButton text={name} label="Copy the name" />
      </div>
      <code class="expr">{expr}</code>
      <Shown of={loaded}>
        {({ labels, series }) => (
          <>
            <p class="quiet">
              {count(series)} series now; labels: {labels.length === 0 ? 'none' : ''}
            </p>
            {labels.map((label) => (
              <LabelValues key={label} label={label} selector={selector} />
            ))}
          </>
        )}
      </Shown>
    </section>
  );
}

const FIRST = 100;

function LabelValues({ label, selector }: { label: string; selector: string }): JSX.Element {
  const [open, setOpen] = useState(false);
  const path = /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label) ? label : escaped(label);
  const { data, error } = useLoad(async (signal) => (await v1<string[]>(`label/${path}/values`, { 'match[]': selector }, { signal })).data, [label, selector]);
  return (
    <Fold
      open={open}
      onToggle={() => setOpen(!open)}
      head={
        <>
          <span class="mono">{label}</span>
          {data && <Badge tone={data.length > 1000 ? 'warn' : 'plain'}>{count(data.length)}</Badge>}
        </>
      }
    >
      {error && <ErrorBox error={error} />}
      {data?.slice(0, FIRST).map((value) => (
        <div key={value}>
          <a class="mono pre" href={queryLink(`${selector.slice(0, -1)}, ${/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label) ? label : quote(label)}=${quote(value)}}`, 'table')}>
            {value === '' ? '(empty)' : value}
          </a>
        </div>
      ))}
      {data && data.length > FIRST && <div class="quiet">and {count(data.length - FIRST)} more</div>}
    </Fold>
  );
}

/** Prometheus' escaping of UTF-8 names in paths: `U__` and `_hex_` for what is not plain. */
function escaped(label: string): string {
  return `U__${[...label].map((c) => (c === '_' ? '__' : /[a-zA-Z0-9]/.test(c) ? c : `_${c.codePointAt(0)!.toString(16)}_`)).join('')}`;
}
