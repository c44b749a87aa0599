// All pages but the first one, loaded together when one of them is opened.
export { AlertsPage } from './Alerts';
export { ConfigPage } from './Config';
export { DiscoveryPage } from './Discovery';
export { FlagsPage } from './Flags';
export { MetricsPage } from './Metrics';
export { RulesPage } from './Rules';
export { StatusPage } from './Status';
export { TargetsPage } from './Targets';
export { TsdbPage } from './Tsdb';
