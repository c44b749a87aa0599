// alert-router's API v2 (Alertmanager's), and what our pages ask besides it.
import { encodeParams, json, postJson } from '../core/api';
import type { Labels, Matcher } from '../core/labels';

export interface Alert {
  fingerprint: string;
  labels: Labels;
  annotations: Labels;
  startsAt: string;
  endsAt: string;
  updatedAt: string;
  generatorURL?: string;
  receivers: { name: string }[];
  status: { state: 'active' | 'suppressed' | 'unprocessed'; silencedBy: string[]; inhibitedBy: string[]; mutedBy: string[] };
}

export interface AlertGroup {
  labels: Labels;
  receiver: { name: string };
  alerts: Alert[];
}

export interface Silence {
  id: string;
  status: { state: 'active' | 'pending' | 'expired' };
  updatedAt: string;
  createdBy: string;
  comment: string;
  startsAt: string;
  endsAt: string;
  matchers: Matcher[];
}

export interface NewSilence {
  id?: string;
  createdBy: string;
  comment: string;
  startsAt: string;
  endsAt: string;
  matchers: Matcher[];
}

export interface Route {
  matchers: string[];
  continue: boolean;
  receiver: string;
  groupBy: string[];
  groupByAll: boolean;
  groupWait: number;
  groupInterval: number;
  repeatInterval: number;
  muteTimeIntervals: string[];
  activeTimeIntervals: string[];
  labels: Labels;
  children: number[];
  groups: number;
}

export interface GroupTimer {
  key: string;
  labels: Labels;
  receiver: string;
  nextFlush: string;
}

export interface Notification {
  groupKey: string;
  receiver: string;
  integration: string;
  timestamp: string;
  firing: number;
  resolved: number;
}

export interface Status {
  cluster: { status: string; name?: string; peers?: { name: string; address: string }[] };
  config: { original: string };
  uptime: string;
  versionInfo: Record<string, string>;
}

export interface Taken {
  route: number;
  receiver: string;
  groupLabels: Labels;
}

const v2 = 'api/v2';
const ours = 'api/firewatch/v1';

export const api = {
  groups: (params: { filter?: string[]; receiver?: string }, signal?: AbortSignal) => json<AlertGroup[]>(`${v2}/alerts/groups?${encodeParams(params)}`, { signal }),
  alerts: (params: { filter?: string[] }, signal?: AbortSignal) => json<Alert[]>(`${v2}/alerts?${encodeParams(params)}`, { signal }),
  silences: (signal?: AbortSignal) => json<Silence[]>(`${v2}/silences`, { signal }),
  silence: (id: string, signal?: AbortSignal) => json<Silence>(`${v2}/silence/${encodeURIComponent(id)}`, { signal }),
  setSilence: (silence: NewSilence) => postJson<{ silenceID: string }>(`${v2}/silences`, silence),
  expireSilence: (id: string) => json<undefined>(`${v2}/silence/${encodeURIComponent(id)}`, { method: 'DELETE' }),
  receivers: (signal?: AbortSignal) => json<{ name: string }[]>(`${v2}/receivers`, { signal }),
  status: (signal?: AbortSignal) => json<Status>(`${v2}/status`, { signal }),
  routes: (signal?: AbortSignal) => json<Route[]>(`${ours}/routes`, { signal }),
  matchRoutes: (labels: Labels) => postJson<Taken[]>(`${ours}/routes/match`, { labels }),
  timers: (signal?: AbortSignal) => json<GroupTimer[]>(`${ours}/groups`, { signal }),
  notifications: (signal?: AbortSignal) => json<Notification[]>(`${ours}/notifications`, { signal }),
};
