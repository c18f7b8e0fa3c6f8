// Short names of the bodies of the API that this page reads and sends.
import type { Body } from '../lib/api';

export type Restaurant = Body<'Restaurant'>;
export type Menu = Body<'Menu'>;
export type MenuItem = Body<'MenuItem'>;
export type OptionGroup = Body<'OptionGroup'>;
export type MenuOption = OptionGroup['options'][number];
export type ChosenOption = Body<'ChosenOption'>;
export type Quote = Body<'Quote'>;
export type Obstacle = Body<'Obstacle'>;
export type OrderRequest = Body<'OrderRequest'>;
export type FulfilmentKind = Body<'FulfilmentKind'>;
