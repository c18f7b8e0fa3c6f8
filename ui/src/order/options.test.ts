import { describe, expect, it } from 'vitest';
import { CHUTNEYS, exampleItem, FILLING } from './example';
import {
  canOrder,
  fromOptions,
  incomplete,
  isCounted,
  isFull,
  isOffered,
  mostOf,
  ruleOf,
  toggle,
  toOptions,
  unitPrice,
  withQuantity,
  type Chosen,
} from './options';

const dosa = exampleItem('dosa', 'Masala Dosa', [FILLING, CHUTNEYS]);
const optional = { ...FILLING, min: 0 };

describe('a single choice', () => {
  it('replaces the choice before it', () => {
    const chosen = toggle(toggle({}, FILLING, 'potato'), FILLING, 'paneer');
    expect(chosen).toEqual({ filling: ['paneer'] });
    expect(isFull(chosen, FILLING)).toBe(false);
  });

  it('is taken back only if it is optional', () => {
    expect(toggle({ filling: ['potato'] }, FILLING, 'potato')).toEqual({ filling: ['potato'] });
    expect(toggle({ filling: ['potato'] }, optional, 'potato')).toEqual({ filling: [] });
  });
});

describe('a choice of several', () => {
  it('stops at the maximum, and goes on after one is taken back', () => {
    let chosen: Chosen = {};
    for (const option of ['coconut', 'tomato', 'peanut']) chosen = toggle(chosen, CHUTNEYS, option);
    expect(chosen).toEqual({ chutneys: ['coconut', 'tomato'] });
    expect(isFull(chosen, CHUTNEYS)).toBe(true);
    chosen = toggle(toggle(chosen, CHUTNEYS, 'coconut'), CHUTNEYS, 'peanut');
    expect(chosen).toEqual({ chutneys: ['tomato', 'peanut'] });
  });

  it('does not change other groups', () => {
    expect(toggle({ filling: ['potato'] }, CHUTNEYS, 'coconut')).toEqual({ filling: ['potato'], chutneys: ['coconut'] });
  });
});

describe('an item', () => {
  it('misses the groups below their minimum', () => {
    expect(incomplete(dosa, {}).map(({ id }) => id)).toEqual(['filling']);
    expect(incomplete(dosa, { filling: ['potato'] })).toEqual([]);
  });

  it('costs its own price and that of its options', () => {
    expect(unitPrice(dosa, { filling: ['paneer'], chutneys: ['coconut', 'peanut'] })).toBe(895 + 150 + 60 + 80);
  });

  it('lists options in the order of the menu, whatever the order of the taps', () => {
    const options = toOptions(dosa, { chutneys: ['peanut', 'coconut'], filling: ['paneer'] });
    expect(options.map(({ option }) => option)).toEqual(['paneer', 'coconut', 'peanut']);
    expect(toOptions(dosa, fromOptions(options))).toEqual(options);
  });

  it('is offered only with options that exist, and with as many as are allowed', () => {
    const filling = { group: 'filling', option: 'potato' };
    const chutney = (option: string) => ({ group: 'chutneys', option });
    expect(isOffered(dosa, [filling, chutney('coconut')])).toBe(true);
    expect(isOffered(dosa, [])).toBe(false);
    expect(isOffered(dosa, [filling, chutney('mint')])).toBe(false);
    expect(isOffered(dosa, [filling, { group: 'sauce', option: 'mint' }])).toBe(false);
    expect(isOffered(dosa, [filling, chutney('coconut'), chutney('tomato'), chutney('peanut')])).toBe(false);
  });
});

describe('options with quantities', () => {
  const scoops = { ...CHUTNEYS, id: 'scoops', min: 2, max: 4, max_per_option: 3 };
  const sundae = exampleItem('sundae', 'Sundae', [scoops]);
  const chosen = withQuantity(withQuantity({}, scoops, 'coconut', 3), scoops, 'peanut', 1);

  it('stop at the maximum of the option and of the group', () => {
    expect([isCounted(scoops), isCounted(CHUTNEYS), isCounted({ ...scoops, max: 1 })]).toEqual([true, false, false]);
    expect([mostOf(chosen, scoops, 'coconut'), mostOf(chosen, scoops, 'peanut'), mostOf(chosen, scoops, 'tomato')]).toEqual([3, 1, 0]);
    expect(isFull(chosen, scoops)).toBe(true);
    expect(incomplete(sundae, withQuantity({}, scoops, 'coconut', 2))).toEqual([]);
  });

  it('keep their quantities in the order and back', () => {
    const options = toOptions(sundae, chosen);
    expect(options).toEqual([
      { group: 'scoops', option: 'coconut', quantity: 3 },
      { group: 'scoops', option: 'peanut' },
    ]);
    expect(toOptions(sundae, fromOptions(options))).toEqual(options);
    expect(isOffered(sundae, options)).toBe(true);
    expect(isOffered(exampleItem('sundae', 'Sundae', [{ ...scoops, max_per_option: 2 }]), options)).toBe(false);
  });

  it('cost each unit, without the cheapest that are free, or the highest price alone', () => {
    const price = (rules: object) => unitPrice(exampleItem('sundae', 'Sundae', [{ ...scoops, ...rules }]), chosen) - 895;
    expect([price({}), price({ free: 2 }), price({ free: 9 }), price({ price_by: 'highest' })]).toEqual([260, 140, 0, 80]);
  });
});

describe('what is not available', () => {
  it('is neither offered nor ordered', () => {
    const options = FILLING.options.map((option) => ({ ...option, availability: { status: 'unavailable' as const } }));
    const item = exampleItem('dosa', 'Masala Dosa', [{ ...FILLING, options }]);
    expect(isOffered(item, [{ group: 'filling', option: 'potato' }])).toBe(false);
    expect([canOrder(item), canOrder({ ...item, outside_hours: {} }), canOrder(undefined)]).toEqual([true, false, false]);
    expect(canOrder({ ...item, availability: { status: 'unavailable' } })).toBe(false);
  });
});

describe('the rule of a group', () => {
  it.each([
    [1, 1, 'rule.one'],
    [2, 2, 'rule.exactly'],
    [0, 3, 'rule.any'],
    [0, 9, 'rule.any'],
    [0, 2, 'rule.up_to'],
    [1, 3, 'rule.at_least'],
    [1, 2, 'rule.between'],
  ])('of %i to %i among three options is %s', (min, max, key) => {
    expect(ruleOf({ ...CHUTNEYS, min, max })).toEqual({ key, min, max });
  });
});
