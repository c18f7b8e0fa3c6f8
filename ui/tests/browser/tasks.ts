// The processor time of the tasks of a page's main thread. The browser's own long tasks count the time on the clock, which
// is longer on a busy machine; a trace knows for how long the thread ran.
import type { CDPSession, Page } from 'playwright-core';

/** An event of a trace. Times are in microseconds. */
interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  dur?: number;
  /** Time for which the thread ran. */
  tdur?: number;
  args?: { name?: string };
}

export interface Tasks {
  /** Processor times of the longest tasks, in milliseconds, the longest first. */
  longest: number[];
  /** Number of tasks. */
  count: number;
}

/** Begins to record the tasks of the pages of a browser. Returns the function that ends it. */
export async function recordTasks(page: Page): Promise<() => Promise<Tasks>> {
  const session = (await page.context().browser()?.newBrowserCDPSession()) as CDPSession;
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['disabled-by-default-devtools.timeline'], excludedCategories: ['*'] },
  });
  return async () => {
    const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await complete;
    const mains = new Set(
      events
        .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
        .map(({ pid, tid }) => `${pid} ${tid}`),
    );
    const tasks = events.filter(({ name, pid, tid }) => name === 'RunTask' && mains.has(`${pid} ${tid}`));
    // The trace cuts the tasks at its begin and its end.
    const times = tasks.flatMap(({ tdur }) => (tdur === undefined ? [] : [Math.round(tdur / 100) / 10]));
    if (times.length < 0.9 * tasks.length) throw new Error(`Of ${tasks.length} tasks only ${times.length} have a processor time.`);
    return { longest: times.sort((a, b) => b - a).slice(0, 10), count: times.length };
  };
}
