// What a person can do with a parked task.
import { api, unwrap } from '../../lib/api';
import type { ParkedTask } from '../parked.svelte';

/** A review is resolved, never retried: nothing failed. */
export function isRetryable(task: Pick<ParkedTask, 'kind'>): boolean {
  return task.kind !== 'review';
}

export async function retryTask(task: Pick<ParkedTask, 'id'>): Promise<void> {
  await unwrap(api.POST('/v1/tasks/{task_id}/retry', { params: { path: { task_id: task.id } } }));
}

export async function resolveTask(task: Pick<ParkedTask, 'id'>, reason: string): Promise<void> {
  const params = { path: { task_id: task.id } };
  await unwrap(api.POST('/v1/tasks/{task_id}/resolve', { params, body: { reason } }));
}
