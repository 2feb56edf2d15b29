// Package grid knows the boundaries between the windows of a MetricsExporter.
//
// What arrives is the interval, or the schedule and time zone, of a spec; what
// leaves is a [Grid], which tells the boundary after and the boundary before an
// instant. Windows run from one boundary to the next, so they never overlap and
// leave nothing out, also where a time zone changes to and from summer time.
//
// What fails: a spec without a grid, such as a schedule that never comes, is
// refused by [New]; a Grid itself never fails.
package grid
