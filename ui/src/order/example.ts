// A menu for the tests of this directory.
import type { Menu, MenuItem, OptionGroup } from './types';

export const FILLING: OptionGroup = {
  id: 'filling',
  name: 'Filling',
  min: 1,
  max: 1,
  options: [
    { id: 'potato', name: 'Spiced potato', price_minor: 0 },
    { id: 'paneer', name: 'Paneer', price_minor: 150 },
  ],
};

export const CHUTNEYS: OptionGroup = {
  id: 'chutneys',
  name: 'Chutneys',
  min: 0,
  max: 2,
  options: [
    { id: 'coconut', name: 'Coconut', price_minor: 60 },
    { id: 'tomato', name: 'Tomato', price_minor: 60 },
    { id: 'peanut', name: 'Peanut', price_minor: 80 },
  ],
};

export function exampleItem(id: string, name: string, groups: OptionGroup[] = []): MenuItem {
  return {
    id,
    name,
    price_minor: 895,
    option_groups: groups,
    tags: [],
    stock_limited: false,
    availability: { status: 'available' },
  };
}

export function exampleMenu(): Menu {
  return {
    restaurant_id: 'restaurant',
    currency: 'GBP',
    revision: 1,
    availability_revision: 1,
    categories: [
      { name: 'Dosas', items: [exampleItem('dosa', 'Masala Dosa', [FILLING, CHUTNEYS])] },
      { name: 'Sides', items: [{ ...exampleItem('rice', 'Crème Rice'), tags: ['vegan'] }, exampleItem('raita', 'Raita')] },
    ],
  };
}
