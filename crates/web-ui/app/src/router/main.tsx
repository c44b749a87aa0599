// alert-router's pages. They lie behind # as Alertmanager's do: links in notifications lead there.
import { render, type JSX } from 'preact';
import { followLinks, go, hash } from '../core/route';
import { Layout } from '../parts/Layout';
import '../style.css';
import { AlertsPage } from './pages/Alerts';
import { HistoryPage } from './pages/History';
import { RoutingPage } from './pages/Routing';
import { SilenceForm } from './pages/SilenceForm';
import { SilencePage } from './pages/SilencePage';
import { SilencesPage } from './pages/Silences';
import { StatusPage } from './pages/Status';

const NAV = [
  ['alerts', 'Alerts'],
  ['silences', 'Silences'],
  ['history', 'History'],
  ['routing', 'Routing'],
  ['status', 'Status'],
] as const;

const title = document.title;

function View(): JSX.Element {
  const { parts } = hash.value;
  const [first, second, third] = parts;
  if (first === 'silences') {
    if (second === 'new') return <SilenceForm key="new" />;
    if (second !== undefined && third === 'edit') return <SilenceForm key={second} id={second} />;
    if (second !== undefined) return <SilencePage key={second} id={second} />;
    return <SilencesPage />;
  }
  if (first === 'history') return <HistoryPage />;
  if (first === 'routing') return <RoutingPage />;
  if (first === 'status' || first === 'settings') return <StatusPage />;
  return <AlertsPage />;
}

function App(): JSX.Element {
  const current = hash.value.parts[0] ?? 'alerts';
  document.title = `${NAV.find(([path]) => path === current)?.[1] ?? 'Alerts'} · ${title}`;
  return (
    <Layout title={title} home="#/alerts" nav={NAV.map(([path, text]) => ({ href: `#/${path}`, text, current: path === current }))}>
      <View />
    </Layout>
  );
}

followLinks((target) => target.pathname === window.location.pathname && target.hash.startsWith('#/'));
if (!window.location.hash) go('#/alerts', { replace: true });
render(<App />, document.getElementById('app')!);
