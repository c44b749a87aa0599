// scraper-store's pages.
import { render, type JSX } from 'preact';
import { lazy, Suspense } from 'preact/compat';
import { followLinks, page } from '../core/route';
import { Layout } from '../parts/Layout';
import '../style.css';
import { QueryPage } from './query/QueryPage';
import { StartBanner } from './StartBanner';

type Page = { path: string; text: string; view: () => JSX.Element };

const rest = (name: keyof typeof import('./pages')) =>
  lazy(async () => ({ default: (await import('./pages'))[name] as () => JSX.Element }));

/** In the order of the navigation; the paths are Prometheus' where it has the page. */
const PAGES: Page[] = [
  { path: 'query', text: 'Query', view: QueryPage },
  { path: 'explore', text: 'Metrics', view: rest('MetricsPage') },
  { path: 'alerts', text: 'Alerts', view: rest('AlertsPage') },
  { path: 'rules', text: 'Rules', view: rest('RulesPage') },
  { path: 'targets', text: 'Targets', view: rest('TargetsPage') },
  { path: 'service-discovery', text: 'Service discovery', view: rest('DiscoveryPage') },
  { path: 'tsdb-status', text: 'TSDB', view: rest('TsdbPage') },
  { path: 'status', text: 'Status', view: rest('StatusPage') },
  { path: 'config', text: 'Configuration', view: rest('ConfigPage') },
  { path: 'flags', text: 'Flags', view: rest('FlagsPage') },
];

const title = document.title;

function App(): JSX.Element {
  const found = PAGES.find((entry) => entry.path === page.value) ?? PAGES[0]!;
  document.title = `${found.text} · ${title}`;
  const View = found.view;
  return (
    <Layout title={title} home="query" nav={PAGES.map((entry) => ({ href: entry.path, text: entry.text, current: entry === found }))} banner={<StartBanner />}>
      <Suspense fallback={<p class="quiet loading">Loading…</p>}>
        <View key={found.path} />
      </Suspense>
    </Layout>
  );
}

followLinks((target) => {
  const here = new URL('.', window.location.href);
  const rel = target.href.startsWith(here.href) ? target.pathname.slice(here.pathname.length) : null;
  return rel !== null && PAGES.some((entry) => entry.path === rel);
});
render(<App />, document.getElementById('app')!);
