// Operations that the API's description of this branch does not contain yet. Their generated types replace these.
import { api, unwrap } from '../lib/api';

type Call = { params?: { path?: object; query?: object } };
const get = <T>(path: string, call: Call = {}): Promise<T> =>
  unwrap((api.GET as unknown as (path: string, call: Call) => Promise<{ data?: T; response: Response }>)(path, call)) as Promise<T>;

export interface StatisticsPoint {
  at: string;
  count?: number;
  sum?: number;
  p50?: number;
  p90?: number;
  p99?: number;
  max?: number;
}

export interface StatisticsSeries {
  name: string;
  kind: string;
  unit: string;
  queue?: string;
  points: StatisticsPoint[];
}

export interface Statistics {
  from: string;
  to: string;
  step: number;
  complete_until: string;
  missing_shards?: string[];
  series: StatisticsSeries[];
}

export interface StatisticsQuery {
  names: string[];
  from: string;
  to: string;
  step: number;
}

export const readStatistics = ({ names, ...query }: StatisticsQuery) =>
  get<Statistics>('/v1/statistics', { params: { query: { ...query, names: names.join(',') } } });
