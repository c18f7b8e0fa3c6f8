import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../lib/testing/timers';
import { changeOf, Changes, CONNECTION_PATIENCE, INTERVAL, MAXIMUM_CHANGES, type Change } from './changes';

let timers: ManualTimers;
let visible: boolean;
let changes: Changes;
/** What the view was called for. */
let calls: (string | string[])[];

const change = (order: string, version = 1): Change => ({ order, restaurant: 'r1', type: 'placed', version });

beforeEach(() => {
  timers = new ManualTimers();
  visible = true;
  calls = [];
  changes = new Changes({ timers, isVisible: () => visible });
});

function follow(): () => void {
  return changes.follow({
    read: (again) => calls.push(again ? 'again' : 'first'),
    changed: (batch) => calls.push(batch.map(({ order, version }) => `${order} ${version}`)),
  });
}

describe('a view', () => {
  it('reads once, as soon as the feed is connected', async () => {
    follow();
    expect(calls).toEqual([]);
    changes.connected();
    expect(calls).toEqual(['first']);
    await timers.advance(CONNECTION_PATIENCE);
    expect(calls).toEqual(['first']);
  });

  it('that could not wait for the first connection reads again when it is there', async () => {
    follow();
    await timers.advance(CONNECTION_PATIENCE);
    expect(calls).toEqual(['first']);
    changes.connected();
    expect(calls).toEqual(['first', 'again']);
  });

  it('that opens later reads at once, and again at every further connection', () => {
    changes.connected();
    follow();
    changes.connected();
    changes.connected();
    expect(calls).toEqual(['first', 'again', 'again']);
  });

  it('that has closed is called no more', async () => {
    const end = follow();
    end();
    await timers.advance(CONNECTION_PATIENCE);
    changes.connected();
    changes.add(change('a'));
    await timers.advance(INTERVAL);
    expect(calls).toEqual([]);
  });

  it('hears of the changes of an interval together, each order once', async () => {
    changes.connected();
    follow();
    changes.add(change('a', 1));
    changes.add(change('b', 4));
    changes.add(change('a', 2));
    await timers.advance(INTERVAL - 1);
    expect(calls).toEqual(['first']);
    await timers.advance(1);
    expect(calls).toEqual(['first', ['a 2', 'b 4']]);
    await timers.advance(INTERVAL);
    expect(calls).toHaveLength(2);
  });

  it('hears of the event that may have changed the status', async () => {
    changes.connected();
    const types: string[] = [];
    changes.follow({ read: () => undefined, changed: (batch) => types.push(...batch.map(({ type }) => type)) });
    changes.add({ ...change('a', 3), type: 'accepted' });
    changes.add({ ...change('a', 4), type: 'payment_captured' });
    changes.add({ ...change('b', 3), type: 'accepted' });
    changes.add({ ...change('b', 4), type: 'of_a_later_version' });
    await timers.advance(INTERVAL);
    expect(types).toEqual(['accepted', 'of_a_later_version']);
  });

  it('reads again after more changes than are kept', async () => {
    changes.connected();
    follow();
    for (let count = 0; count <= MAXIMUM_CHANGES; count += 1) changes.add(change(`order ${count}`));
    await timers.advance(INTERVAL);
    expect(calls).toEqual(['first', 'again']);
  });
});

describe('a view that nobody sees', () => {
  it('hears nothing until it is seen, and then everything', async () => {
    changes.connected();
    follow();
    visible = false;
    changes.add(change('a'));
    await timers.advance(10 * INTERVAL);
    changes.add(change('b'));
    await timers.advance(10 * INTERVAL);
    expect(calls).toEqual(['first']);
    visible = true;
    changes.shown();
    expect(calls).toEqual(['first', ['a 1', 'b 1']]);
  });

  it('reads again when it is seen, if the connection was lost meanwhile', () => {
    changes.connected();
    follow();
    visible = false;
    changes.connected();
    changes.connected();
    expect(calls).toEqual(['first']);
    visible = true;
    changes.shown();
    changes.shown();
    expect(calls).toEqual(['first', 'again']);
  });
});

describe('an event of the feed', () => {
  it('names the order, its restaurant, and the number of the event', () => {
    const event = { partitionkey: 'o1', subject: 'r1', sequence: '0000000012', data: {} };
    expect(changeOf('accepted', event)).toEqual({ order: 'o1', restaurant: 'r1', type: 'accepted', version: 12 });
  });

  it('without a number is newer than everything, and one about no order is none', () => {
    expect(changeOf('x', { partitionkey: 'o1' })).toEqual({ order: 'o1', restaurant: '', type: 'x', version: Infinity });
    expect(changeOf('x', { partitionkey: 7 })).toBeUndefined();
    expect(changeOf('x', {})).toBeUndefined();
  });
});
