// The board under load. Vitest runs this file alone, because a second browser beside it would slow the measured tasks down.
import { describe, expect, it } from 'vitest';
import { random } from '../mock/orders';
import { recordTasks } from './tasks';
import { mock, stage, useStage } from './stage';

useStage();

describe('with 500 open orders and 50 changes per second', () => {
  /** Duration of the load, in seconds, and changes per second. */
  const SECONDS = 8;
  const RATE = 50;

  it('no task of the page takes more than 50 ms of processor time', { timeout: 120_000 }, async () => {
    const chance = random(99);
    const pick = <T>(list: T[]): T => list[Math.floor(chance() * list.length)] as T;
    const statuses = ['confirmed', 'preparing', 'ready_for_pickup', 'out_for_delivery'] as const;
    for (let index = 0; index < 500; index += 1) {
      mock.place({ status: statuses[index % 4] as (typeof statuses)[number], age: 300 * chance(), readyIn: 1_500 * chance() - 300 });
    }
    const page = await stage.page();
    await page.addInitScript(() => {
      const scope = globalThis as unknown as { frames: number };
      scope.frames = 0;
      const frame = () => {
        scope.frames += 1;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
    await page.goto(`/kitchen/${mock.restaurant.id}`);
    await page.locator('[data-card]').nth(15).waitFor();
    // The first task parses and runs the script itself, before anything is shown.
    const stop = await recordTasks(page);
    for (let tick = 0; tick < SECONDS * 10; tick += 1) {
      const next = new Promise((done) => setTimeout(done, 100));
      for (let index = 0; index < RATE / 10; index += 1) {
        const order = mock.orders.get(pick([...mock.orders.keys()]));
        if (order === undefined) continue;
        const place = statuses.indexOf(order.status as (typeof statuses)[number]);
        if (place === 3) {
          mock.end(order.id, 'delivered');
          mock.place({ age: 1 });
        } else mock.change(order.id, { status: statuses[place + 1] as (typeof statuses)[number], ready_by: new Date(Date.now() + 600_000).toISOString() });
      }
      await next;
    }
    const newest = mock.place({ age: 478 });
    await page.locator(`[data-code="${newest.display_code}"]`).waitFor({ state: 'attached' });
    const { longest, count } = await stop();
    const frames = await page.evaluate(() => (globalThis as unknown as { frames: number }).frames);
    console.log(`${frames} frames, ${count} tasks; the longest took ${longest.join(', ')} ms`);
    expect(count).toBeGreaterThan(SECONDS * RATE);
    expect(longest.filter((time) => time > 50)).toEqual([]);
    const shown = await page.locator('[data-column=new] h2').textContent();
    const open = [...mock.orders.values()].filter((order) => order.status === 'confirmed').length;
    expect(shown).toContain(String(open));
  });
});
