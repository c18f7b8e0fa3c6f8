import { describe, expect, it } from 'vitest';
import { STAYS_WIDE, Widths } from './widths';

const NONE = { new: 0, preparing: 0, ready: 0, out: 0 };

describe('a column without orders', () => {
  it('is narrow while another one has orders', () => {
    const widths = new Widths();
    expect([...widths.narrow(NONE, 0)]).toEqual([]);
    expect([...widths.narrow({ ...NONE, new: 10 }, 0)]).toEqual(['preparing', 'ready', 'out']);
  });

  it('becomes narrow a while after its last order, and wide with the next one', () => {
    const widths = new Widths();
    widths.narrow({ ...NONE, new: 1, ready: 1 }, 0);
    const left = { ...NONE, new: 1 };
    expect(widths.narrow(left, 1_000).has('ready')).toBe(false);
    expect(widths.narrow(left, 999 + STAYS_WIDE).has('ready')).toBe(false);
    expect(widths.narrow(left, 1_000 + STAYS_WIDE).has('ready')).toBe(true);
    expect(widths.narrow({ ...left, ready: 1 }, 1_001 + STAYS_WIDE).has('ready')).toBe(false);
    expect(widths.narrow(left, 1_002 + STAYS_WIDE).has('ready')).toBe(false);
  });
});
