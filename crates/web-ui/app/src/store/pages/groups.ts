// Rule groups as /api/v1/rules gives them.
import type { Labels } from '../../core/labels';

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: 'pending' | 'firing';
  activeAt: string;
  keepFiringSince?: string;
  value: string;
}

export interface Rule {
  type: 'alerting' | 'recording';
  name: string;
  query: string;
  labels?: Labels;
  health: 'ok' | 'err' | 'unknown';
  lastError?: string;
  evaluationTime: number;
  lastEvaluation: string;
  // Of alerting rules:
  state?: 'inactive' | 'pending' | 'firing' | 'unknown';
  duration?: number;
  keepFiringFor?: number;
  annotations?: Labels;
  alerts?: Alert[];
}

export interface Group {
  name: string;
  file: string;
  interval: number;
  limit?: number;
  rules: Rule[];
  evaluationTime: number;
  lastEvaluation: string;
}

/** The query page with this expression. */
export function queryLink(expr: string, tab: 'table' | 'graph' = 'graph'): string {
  return `query?${new URLSearchParams({ 'g0.expr': expr, 'g0.tab': tab })}`;
}
